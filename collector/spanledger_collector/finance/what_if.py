"""Traffic as it was and another model's rates, or a GPU pool's size, in; what it would have cost there out. Pure.

Assumed, and said beside every figure: the same tokens in the same kinds. Another model counts tokens and thinks by its own
rules, and another vendor's cache is hit by its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from spanledger.prices import Rates
from spanledger.prices.rates import TOKEN_RATES
from spanledger_collector.store.reads.token_mix import Slice

_TOKENS = tuple(zip(TOKEN_RATES, (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
), strict=True))  # fmt: skip
_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Size:
    """A pool: GPUs, USD an hour of each, and tokens a second that one GPU reads and writes when it is kept busy."""

    gpus: int
    usd_per_hour: Decimal
    input_per_s: Decimal
    output_per_s: Decimal

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.usd_per_hour < 0 or min(self.input_per_s, self.output_per_s) <= 0:
            raise ValueError("a pool has at least one GPU, a price of 0 or more, and speeds above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPool:
    """The traffic on a pool that runs the whole window.

    ``busy`` is the share of its time that the tokens take (above 1: too small; ``needed`` is how many GPUs it takes, all
    hours alike). ``break_even`` is by how much the traffic would have to grow (or may shrink) until both cost the same; None
    where there is nothing to compare or the pool could not serve so much.
    """

    cost: Decimal
    busy: Decimal
    needed: int
    break_even: Decimal | None
    break_even_calls: int | None
    per_million: Decimal | None


def thresholds(rates: Rates) -> list[int]:
    """Context lengths above which any of the rates changes."""
    found = {above for name in TOKEN_RATES for above, _ in getattr(rates, name) or () if above > 0}
    return sorted(found)


def on_model(mix: Sequence[Slice], rates: Rates) -> Decimal | None:
    """What the traffic costs at these rates, USD; None when it used a kind of token that has none."""
    edges = thresholds(rates)
    total = Decimal(0)
    for part in mix:
        context = edges[part.above - 1] if part.above else 0
        for name, tokens in _TOKENS:
            used = getattr(part.usage, tokens) or 0
            tiers = getattr(rates, name)
            if used and tiers is None:
                return None
            if used:
                total += used * [rate for above, rate in tiers if above <= context][-1]
        units = (
            (part.usage.image_units, rates.image),
            (part.usage.web_searches, rates.web_search),
            (part.calls, rates.request),
        )
        total += sum(((used or 0) * (price or 0) for used, price in units), Decimal(0))
    return total


def on_pool(mix: Sequence[Slice], size: Size, hours: Decimal, now: Decimal) -> OnPool:
    """What the traffic costs on a pool that runs for so many hours, against what it costs ``now``.

    A token read from a vendor's cache counts as one to read: a pool's own prefix cache can only make it cheaper.
    """
    read = sum((part.usage.input_total or 0 for part in mix), 0)
    written = sum((part.usage.output_total or 0 for part in mix), 0)
    seconds = read / size.input_per_s + written / size.output_per_s
    cost = size.usd_per_hour * size.gpus * hours
    busy = seconds / (hours * _HOUR * size.gpus)
    factor = cost / now if now else None
    reachable = factor is not None and busy * factor <= 1
    calls = sum(part.calls for part in mix)
    return OnPool(
        cost=cost,
        busy=busy,
        needed=max(1, ceil(seconds / (hours * _HOUR))),
        break_even=factor if reachable else None,
        break_even_calls=round(calls * factor) if reachable and factor is not None else None,
        per_million=cost / (read + written) * 1_000_000 if read + written else None,
    )
