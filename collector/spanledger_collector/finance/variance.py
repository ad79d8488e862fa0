"""Meters of two periods in; why the second cost more, split into parts that add up exactly, out. Pure.

Price-volume-mix analysis with the prompt cache taken out of the mix. With q tokens of a model's token type, r their unit price,
0 and 1 the periods, V all tokens:

- price: sum of q1 (r1 - r0)
- volume: (V1 / V0 - 1) C0: the same traffic, more of it
- cache: what each model's input of period 1 costs at old prices in its own split into cached and uncached, less what it would in the
  split of period 0
- mix: the rest of the change in quantities at old prices: other models, longer answers, models that came or went
- other: spend that no tokens stand for (idle GPUs, adjustments)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

INPUTS = frozenset({"input", "cache_read", "cache_write", "cached_answer"})
"""Token types that compete: a token of a prompt is one of them. ``cached_answer`` are tokens of answers from our cache, at no cost."""
_NANO = Decimal("0.000000000001")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Meter:
    """Tokens of one type of one model and what they cost; ``tokens`` 0 where cost stands for no tokens."""

    model: str
    token_type: str
    tokens: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """USD. ``after - before = price + volume + mix + cache + other``, exactly."""

    before: Decimal
    after: Decimal
    price: Decimal
    volume: Decimal
    mix: Decimal
    cache: Decimal
    other: Decimal

    @property
    def total(self) -> Decimal:
        """The whole change."""
        return self.after - self.before

    def parts(self) -> list[tuple[str, Decimal]]:
        """The parts by name, as they are drawn."""
        return [(name, getattr(self, name)) for name in ("volume", "price", "mix", "cache", "other")]


Held = Mapping[tuple[str, str], tuple[Decimal, Decimal]]


def compare(before: Iterable[Meter], after: Iterable[Meter]) -> Change:
    """Split the change from one period to the next."""
    old, old_other = _held(before)
    new, new_other = _held(after)
    with localcontext() as context:
        context.prec = 50
        cost0, cost1 = _cost(old), _cost(new)
        price = _rounded(_price(old, new))
        cache = _rounded(_cache(old, new))
        volume = _rounded(_volume(old, new, cost0))
        other = new_other - old_other
        if not old or not new:  # nothing to compare with: all of it came or went
            price = cache = ZERO
            volume = cost1 - cost0
        mix = cost1 - cost0 - price - cache - volume
    return Change(
        before=cost0 + old_other,
        after=cost1 + new_other,
        price=price,
        volume=volume,
        mix=mix,
        cache=cache,
        other=other,
    )


def _held(meters: Iterable[Meter]) -> tuple[Held, Decimal]:
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    other = ZERO
    for meter in meters:
        if meter.tokens > 0:
            pair = sums[meter.model, meter.token_type]
            pair[0] += meter.tokens
            pair[1] += meter.cost
        else:
            other += meter.cost
    return {key: (tokens, cost) for key, (tokens, cost) in sums.items()}, other


def _cost(held: Held) -> Decimal:
    return sum((cost for _, cost in held.values()), ZERO)


def _price(old: Held, new: Held) -> Decimal:
    return sum(
        (cost - tokens * old[key][1] / old[key][0] for key, (tokens, cost) in new.items() if key in old), ZERO
    )


def _volume(old: Held, new: Held, cost0: Decimal) -> Decimal:
    tokens0 = sum((tokens for tokens, _ in old.values()), ZERO)
    tokens1 = sum((tokens for tokens, _ in new.values()), ZERO)
    return (tokens1 / tokens0 - 1) * cost0 if tokens0 else ZERO


def _cache(old: Held, new: Held) -> Decimal:
    """Of models both periods have: the new input in its own split less in the old one, at old prices."""
    found = ZERO
    for model in {model for model, _ in new} & {model for model, _ in old}:
        before = {kind: old[model, kind] for kind in INPUTS if (model, kind) in old}
        after = {kind: new[model, kind] for kind in INPUTS if (model, kind) in new}
        tokens0 = sum((tokens for tokens, _ in before.values()), ZERO)
        tokens1 = sum((tokens for tokens, _ in after.values()), ZERO)
        if not tokens0 or not tokens1:
            continue
        as_split_now = sum((tokens * _rate(kind, before, after) for kind, (tokens, _) in after.items()), ZERO)
        as_split_then = sum((cost for _, cost in before.values()), ZERO) / tokens0 * tokens1
        found += as_split_now - as_split_then
    return found


def _rate(
    kind: str, before: Mapping[str, tuple[Decimal, Decimal]], after: Mapping[str, tuple[Decimal, Decimal]]
) -> Decimal:
    tokens, cost = before.get(kind) or after[kind]
    return cost / tokens


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_NANO)
