"""/api/whatif: the traffic of a window priced on another model, or on a GPU pool of a given size."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from spanledger_collector.finance import what_if
from spanledger_collector.store.finance.what_if import answer
from spanledger_collector.store.reads.spend import OVER_SPANS

from .asking import Asked, Reader, Store
from .filters import equal_to
from .lines import Usd
from .problems import Refusal

router = APIRouter(prefix="/api", tags=["ledger"])

Money = Annotated[Decimal | None, Query(ge=0, max_digits=18, decimal_places=9)]
Speed = Annotated[Decimal | None, Query(gt=0, max_digits=18, decimal_places=6)]
_ONLY = [name for name in OVER_SPANS if name not in ("provider", "model")]


class PoolBody(BaseModel):
    """The traffic on a pool; ``busy`` above 1: it takes ``needed`` GPUs. ``break_even``: growth at which both cost the same."""

    cost: Usd
    busy: float
    needed: int
    break_even: float | None
    break_even_calls: int | None
    per_million_tokens: Usd | None


class WhatIfBody(BaseModel):
    """The traffic as it was, and what it would have cost elsewhere with the same tokens; unknown is null. USD."""

    calls: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_now: Usd
    model: str
    cost_on_model: Usd | None
    pool: PoolBody | None


@router.get("/whatif")
def whatif(
    store: Store,
    caller: Reader,
    window: Asked,
    only: Annotated[dict[str, str], Depends(equal_to(_ONLY))],
    from_provider: Annotated[
        str | None, Query(max_length=200, description="Traffic of this provider.")
    ] = None,
    from_model: Annotated[str | None, Query(max_length=200, description="Traffic of this model.")] = None,
    provider: Annotated[str, Query(max_length=200, description="Whose model to price it on.")] = "",
    model: Annotated[str, Query(max_length=200, description="Which model to price it on.")] = "",
    gpus: Annotated[int | None, Query(ge=1, le=100_000)] = None,
    usd_per_hour: Annotated[Money, Query(description="Of one GPU.")] = None,
    input_per_s: Annotated[Speed, Query(description="Tokens a second that one busy GPU reads.")] = None,
    output_per_s: Annotated[Speed, Query(description="Tokens a second that one busy GPU writes.")] = None,
) -> WhatIfBody:
    """The calls of the window that no cache answered, priced elsewhere: the same tokens in the same kinds."""
    given = {"provider": from_provider, "model": from_model}
    kept = only | {name: value for name, value in given.items() if value is not None}
    size = _size(gpus, usd_per_hour, input_per_s, output_per_s)
    try:
        found = answer(store, caller.project, window, kept, provider=provider, model=model, size=size)
    except LookupError as unknown:
        raise Refusal(422, str(unknown)) from None
    return WhatIfBody(
        calls=found.calls,
        unpriced=found.unpriced,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cost_now=found.cost_now,
        model=model,
        cost_on_model=found.cost_on_model,
        pool=None if found.pool is None else _pool(found.pool),
    )


def _size(
    gpus: int | None, usd_per_hour: Decimal | None, input_per_s: Decimal | None, output_per_s: Decimal | None
) -> what_if.Size | None:
    given = (gpus, usd_per_hour, input_per_s, output_per_s)
    if all(value is None for value in given):
        return None
    if gpus is None or usd_per_hour is None or input_per_s is None or output_per_s is None:
        raise Refusal(422, "a pool needs all of gpus, usd_per_hour, input_per_s and output_per_s")
    return what_if.Size(gpus, usd_per_hour, input_per_s, output_per_s)


def _pool(found: what_if.OnPool) -> PoolBody:
    return PoolBody(
        cost=round(found.cost, 9),
        busy=float(found.busy),
        needed=found.needed,
        break_even=None if found.break_even is None else float(found.break_even),
        break_even_calls=found.break_even_calls,
        per_million_tokens=None if found.per_million is None else round(found.per_million, 9),
    )
