"""A call with the figures it has and a price table in; the figures it should have out, if they are others. Pure."""

from __future__ import annotations

from decimal import Decimal

from spanledger.prices import Cost, PriceTable
from spanledger_collector.store.finance.repricing import PricedCall, Repricing

_ZERO = Decimal("0E-9")


def repriced(call: PricedCall, table: PriceTable) -> Repricing | None:
    """The correction of one call; None where its figures hold.

    A price that came of a document and that nobody says any more makes the cost unknown; one of the public list stays
    what it was when the list drops a model.
    """
    cost = table.cost(
        call.usage,
        call.dim("provider"),
        call.response_model,
        call.start,
        request_model=call.request_model,
        service_tier=call.dim("service_tier"),
        region=call.dim("region"),
    )
    if call.is_hit:
        return _of_hit(call, cost)
    if cost is None:
        gone = call.cost is not None and call.source == "override"
        return Repricing(call=call, cost=None, saved=call.saved) if gone else None
    if cost.total == call.cost:
        return None
    parts = (cost.input, cost.cache_read, cost.cache_write, cost.output, cost.reasoning, cost.other)
    return Repricing(
        call=call, cost=cost.total, saved=call.saved, parts=parts, source=cost.source, version=cost.version
    )


def _of_hit(call: PricedCall, cost: Cost | None) -> Repricing | None:
    if cost is None or cost.total == call.saved:
        return None
    return Repricing(call=call, cost=_ZERO, saved=cost.total, source="cache", version=cost.version)
