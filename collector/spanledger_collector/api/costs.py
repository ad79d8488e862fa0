"""/api/costs: all spend of one project, by any dimension, in any currency of its documents, as the ledger has it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from spanledger_collector.finance import allocation
from spanledger_collector.store.reads import finance_documents as documents
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.ledger import Ask, Sum

from .asking import Asked, Reader, Store
from .filters import equal_to
from .lines import Usd
from .problems import Refusal
from .times import Day

router = APIRouter(prefix="/api", tags=["ledger"])

STEPS_S = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}


class CostLine(BaseModel):
    """Spend of one group; ``start`` is the bucket's, in Unix seconds. Unpriced calls add nothing.

    ``saved`` is what caches saved, ``list_cost`` what a vendor would have charged for calls that GPU pools served
    (but for ``unlisted`` of them), ``reported`` what providers said themselves. ``allocated`` is the part of ``cost`` that
    allocation rules moved here (below zero: away). Money in ``currency``.
    """

    group: dict[str, str]
    start: int | None
    calls: int
    errors: int
    unpriced: int
    unlisted: int
    input_tokens: int
    output_tokens: int
    cost: Usd
    saved: Usd
    list_cost: Usd
    reported: Usd
    allocated: Usd
    currency: str


By = Annotated[
    list[str], Query(max_length=4, description=f"Of {', '.join(ledger.DIMENSIONS)}, and `tag:KEY`.")
]


@router.get("/costs")
def costs(
    store: Store,
    caller: Reader,
    window: Asked,
    only: Annotated[dict[str, str], Depends(equal_to(list(ledger.DIMENSIONS)))],
    by: By = [],  # noqa: B006
    step: Annotated[Literal["minute", "hour", "day", "week"] | None, Query()] = None,
    tag: Annotated[list[str], Query(max_length=10, description="Each must be among the tags.")] = [],  # noqa: B006
    currency: Annotated[
        str, Query(max_length=3, description="USD, or the name of a `currency` document.")
    ] = "USD",
    known_before: Annotated[Day | None, Query(description="Figures as known before this day (UTC).")] = None,
    allocate: Annotated[bool, Query(description="Apply the allocation rules; not by time.")] = False,
) -> list[CostLine]:
    """All spend of the window by up to four dimensions and by time, dearest group first.

    Whole days come from sums that outlive the calls' retention, but by user, session and tag. A parameter with a
    dimension's name keeps the rows with that value.
    """
    _known(by)
    if allocate and step is not None:
        raise Refusal(422, "allocation rules hold for a whole window: leave out step or allocate")
    try:
        rates = documents.rates(store, caller.project, currency)
    except LookupError as unknown:
        raise Refusal(422, str(unknown)) from None
    rules = documents.allocations(store, caller.project) if allocate else []
    names = allocation.needed(by, rules)
    found = ledger.sums(
        store,
        caller.project,
        window,
        names,
        step_s=STEPS_S[step] if step else None,
        which=Ask(only=only, tag=tag, known_before=known_before),
        rates=rates,
    )
    if not rules:
        return [_line(entry, by, currency) for entry in found]
    return [_line(one.own, by, currency, one.moved) for one in allocation.allocate(found, names, by, rules)]


def _known(by: list[str]) -> None:
    unknown = [name for name in by if not ledger.known_dimension(name)]
    if unknown:
        raise Refusal(
            422, f"no dimension {unknown[0]!r}: choose from {', '.join(ledger.DIMENSIONS)}, tag:KEY"
        )


def _line(entry: Sum, by: list[str], currency: str, moved: Decimal = Decimal(0)) -> CostLine:
    return CostLine(
        group=dict(zip(by, entry.group, strict=True)),
        start=entry.bucket,
        calls=entry.calls,
        errors=entry.errors,
        unpriced=entry.unpriced,
        unlisted=entry.unlisted,
        input_tokens=entry.tokens_in,
        output_tokens=entry.tokens_out,
        cost=entry.cost + moved,
        saved=entry.saved,
        list_cost=entry.list_cost,
        reported=entry.reported,
        allocated=moved,
        currency=currency or "USD",
    )
