"""/api/scores, /api/events and /api/overview: verdicts and the audit trail of one project. Money: ``costs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query
from pydantic import BaseModel

from spanledger_collector.store.reads import events as event_reads
from spanledger_collector.store.reads import overview as overview_reads
from spanledger_collector.store.reads import scores as score_reads

from .asking import Asked, Cursor, Limit, Reader, Store
from .filters import Scores, Word
from .lines import EventPage, ScorePage, Usd
from .paging import cursor, key_of
from .problems import Refusal

router = APIRouter(prefix="/api", tags=["ledger"])

EventKind = Literal[
    "alert", "route_switch", "budget_step", "config_change", "gate", "delivery", "baseline", "silence",
    "cache", "cache_bound", "cache_replay",
]  # fmt: skip
MAX_BUCKETS = 5_000


class MeasuresBody(BaseModel):
    """What some calls did; times in ns, null when nothing was measured."""

    calls: int
    errors: int
    cut: int
    unpriced: int
    cost: Usd
    saved: Usd
    cache_hits: int
    p50_ns: float | None
    p95_ns: float | None
    ttft_p50_ns: float | None


class OverviewBody(BaseModel):
    """The window as a whole and by bucket (Unix seconds), and the mean of each score by bucket."""

    step_s: int
    totals: MeasuresBody
    series: dict[int, MeasuresBody]
    scores: list[overview_reads.ScorePoint]


@router.get("/scores")
def list_scores(
    store: Store, caller: Reader, window: Asked, which: Scores, limit: Limit = 100, after: Cursor = ""
) -> ScorePage:
    """Scores about calls that started in the window, newest first."""
    end = score_reads.ScoreAfter(*cast(Any, key_of(after, int, str))) if after else None
    rows = score_reads.scores(store, caller.project, window, which, limit=limit, after=end)
    following = cursor(rows[-1]["time"], rows[-1]["score_id"]) if len(rows) == limit else None
    return ScorePage(scores=cast(Any, rows), next=following)


@router.get("/events")
def list_events(
    store: Store,
    caller: Reader,
    window: Asked,
    kind: Annotated[list[EventKind], Query(max_length=8)] = [],  # noqa: B006
    severity: Word = "",
    subject: Word = "",
    state: Word = "",
    limit: Limit = 100,
    after: Cursor = "",
) -> EventPage:
    """Alerts, route switches, budget steps and changes of the window, newest first."""
    end = event_reads.EventAfter(*cast(Any, key_of(after, int, str))) if after else None
    found = event_reads.events(
        store,
        caller.project,
        window,
        kinds=kind,
        severity=severity,
        subject=subject,
        state=state,
        limit=limit,
        after=end,
    )
    following = cursor(found[-1].time, found[-1].event_id) if len(found) == limit else None
    return EventPage(events=found, next=following)


@router.get("/overview")
def overview(
    store: Store,
    caller: Reader,
    window: Asked,
    step_s: Annotated[
        int | None, Query(ge=1, le=31 * 86400, description="Seconds; default: about 60 buckets.")
    ] = None,
) -> OverviewBody:
    """Calls, errors, cost, latency and scores of the window, in all and over time."""
    width = step_s or window.step_s()
    if window.length // 10**9 // width > MAX_BUCKETS:
        raise Refusal(422, f"more than {MAX_BUCKETS} buckets: take a greater step_s or a shorter window")
    series = overview_reads.totals_series(store, caller.project, window, width)
    return OverviewBody(
        step_s=width,
        totals=_measures(overview_reads.totals(store, caller.project, window)),
        series={start: _measures(entry) for start, entry in series.items()},
        scores=overview_reads.score_series(store, caller.project, window, width),
    )


def _measures(found: overview_reads.Total) -> MeasuresBody:
    return MeasuresBody.model_validate(found, from_attributes=True)
