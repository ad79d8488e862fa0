"""/api/scores, /api/costs and /api/events: verdicts, money and the audit trail of one project."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from spanledger_collector.store.reads import events as event_reads
from spanledger_collector.store.reads import scores as score_reads
from spanledger_collector.store.reads import spend

from .asking import Asked, Limit, Reader, Store
from .problems import Refusal

router = APIRouter(prefix="/api", tags=["ledger"])


@router.get("/scores")
def list_scores(
    store: Store, caller: Reader, window: Asked, limit: Limit = 100, name: Annotated[str, Query()] = ""
) -> list[dict[str, Any]]:
    """Scores about calls that started in the window, newest first."""
    which = score_reads.ScoreFilter(name=name)
    return score_reads.scores(store, caller.project, window, which, limit=limit)


@router.get("/costs")
def costs(
    store: Store,
    caller: Reader,
    window: Asked,
    by: Annotated[list[str], Query(max_length=4)] = [],  # noqa: B006
) -> list[spend.Spend]:
    """Spend of the window by up to four dimensions, dearest first."""
    unknown = [name for name in by if name not in spend.DIMENSIONS]
    if unknown:
        raise Refusal(422, f"no dimension {unknown[0]!r}: choose from {', '.join(spend.DIMENSIONS)}")
    return spend.spend(store, caller.project, window, by)


@router.get("/events")
def list_events(
    store: Store, caller: Reader, window: Asked, limit: Limit = 100
) -> list[event_reads.EventRow]:
    """Alerts, route switches, budget steps and changes of the window, newest first."""
    return event_reads.events(store, caller.project, window, limit=limit)
