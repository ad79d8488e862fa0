"""Sums of the ledger and what each token type cost in; charges, one a meter, out. They add up to the ledger exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

ZERO = Decimal(0)

GROUP = (
    "category", "organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider", "upstream",
    "gpu_pool", "purpose", "service_tier", "region", "environment", "service", "prompt_name", "cache", "line",
)  # fmt: skip
"""The dimensions charges are told apart by, besides their period."""

METERS = {
    "input": "Input Tokens",
    "cache_read": "Cached Input Tokens",
    "cache_write": "Cache Write Tokens",
    "output": "Output Tokens",
    "reasoning": "Reasoning Tokens",
    "other": "Audio, Image and Search Units",
    "cached_answer": "Cached Answer Tokens",
    "engine_time": "Engine Time",
    "idle": "Idle GPU Time",
    "warm_up": "GPU Warm-Up",
    "central": "Central GPU Share",
    "rest": "Requests",
    "adjustment": "Adjustment",
}
"""What is metered, as bills spell it."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Tokens (or units) of one type within a group, and what they cost, USD."""

    name: str
    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One group's sums of a charge period, from the ledger. ``kind``: ``usage``, ``gpu`` or ``adjustment``.

    ``billing`` is the first day of the month it is billed in; it differs from the period's own for a correction of a
    closed month. ``meters`` split a usage group's cost, as far as the calls' rows are still there.
    """

    start: date
    end: date
    billing: date
    kind: str
    group: Mapping[str, str]
    cost: Decimal
    saved: Decimal = ZERO
    list_cost: Decimal | None = None
    calls: int = 0
    unpriced: int = 0
    tokens: int = 0
    engine_ns: int = 0
    closed: bool = False
    meters: tuple[Meter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One row of the dataset before it gets its column names: money in USD, quantity in ``unit``."""

    period: Period
    meter: str
    quantity: Decimal | None
    unit: str | None
    cost: Decimal
    list_cost: Decimal | None = None
    calls: int = 0
    unpriced: int = 0
    saved: Decimal = ZERO
    group: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_correction(self) -> bool:
        """Whether it changes a period that was billed before."""
        return self.period.billing > self.period.start.replace(day=1)


def charges_of(period: Period) -> Iterator[Charge]:
    """The charges of one group. Calls on a GPU pool are charged by their engine time, not their tokens."""
    if period.kind == "adjustment":
        yield _charge(period, "adjustment", None, None, period.cost)
    elif period.kind == "gpu":
        yield from _gpu(period)
    elif period.group["cache"] in ("exact", "semantic"):
        yield _charge(
            period, "cached_answer", Decimal(period.tokens), "Tokens", period.cost, calls=period.calls, saved=period.saved
        )  # fmt: skip
    elif not period.group["gpu_pool"] or period.cost:
        yield from _usage(period)


def _gpu(period: Period) -> Iterator[Charge]:
    line = period.group["line"]
    if line == "call":
        seconds = Decimal(period.engine_ns) / 1_000_000_000
        yield _charge(period, "engine_time", seconds, "Seconds", period.cost, list_cost=period.list_cost)
    else:
        days = Decimal((period.end - period.start).days)
        yield _charge(period, line if line in METERS else "idle", days, "Days", period.cost)


def _usage(period: Period) -> Iterator[Charge]:
    """One charge a meter; calls, and the calls without a price, stand with the first; a rest stands for itself."""
    used = [meter for meter in period.meters if meter.quantity or meter.cost]
    rest = period.cost - sum((meter.cost for meter in used), ZERO)
    calls, unpriced = period.calls, period.unpriced
    for meter in used:
        unit = "Units" if meter.name == "other" else "Tokens"
        yield _charge(period, meter.name, meter.quantity, unit, meter.cost, calls=calls, unpriced=unpriced)
        calls = unpriced = 0
    if rest or calls or unpriced:
        yield _charge(period, "rest", Decimal(period.calls), "Requests", rest, calls=calls, unpriced=unpriced)


def _charge(
    period: Period, meter: str, quantity: Decimal | None, unit: str | None, cost: Decimal, *,
    list_cost: Decimal | None = None, calls: int = 0, unpriced: int = 0, saved: Decimal = ZERO,
) -> Charge:  # fmt: skip
    return Charge(
        period=period,
        meter=meter,
        quantity=quantity,
        unit=unit,
        cost=cost,
        list_cost=list_cost,
        calls=calls,
        unpriced=unpriced,
        saved=saved,
        group=period.group,
    )
