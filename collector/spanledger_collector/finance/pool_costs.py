"""A ``gpu_pool`` document and a span of time in; what the pool cost in it, exact to a millionth of a millionth, out. Pure.

Costs of a month are rounded as running totals, so that the costs of its intervals add up to the month's exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from spanledger_collector.store.registry.finance import GpuPool, Hours

PICO = 10**12
"""Amounts are integers of 1e-12 US dollars: the last digit of ``gpu_costs.cost``."""

_SECOND = 10**9
_HOUR, _DAY = 3600 * _SECOND, 86_400 * _SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time (ns) in which the pool was on with ``count`` GPUs at one price."""

    start: int
    end: int
    count: int
    usd_per_hour: Decimal

    @property
    def gpu_ns(self) -> int:
        """GPUs times nanoseconds."""
        return (self.end - self.start) * self.count


def money(pico: int) -> Decimal:
    """An amount as US dollars with twelve digits after the point."""
    return Decimal(pico).scaleb(-12)


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since the epoch; UTC where it names no zone."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def segments(pool: GpuPool, start: int, end: int) -> list[Segment]:
    """When the pool was on within ``start`` to ``end``, cut where its count or price changes."""
    found: list[Segment] = []
    for low, high, count, price in _steps(pool, start, end):
        if count:
            found += [Segment(a, b, count, price) for a, b in _on(pool.schedule, low, high)]
    return found


def interval_cost(pool: GpuPool, start: int, end: int) -> int | None:
    """What the pool cost from ``start`` to ``end`` (ns, within one month), in 1e-12 USD; None: its invoice is not there yet."""
    first = _month_start(start)
    until, before = _running(pool, first, end), _running(pool, first, start)
    return None if until is None or before is None else until - before


def month_cost(pool: GpuPool, month: datetime) -> int | None:
    """What the pool cost in the month that begins at ``month``, in 1e-12 USD."""
    first = nanoseconds(month)
    return _running(pool, first, _next_month(first))


def _running(pool: GpuPool, first: int, until: int) -> int | None:
    """The cost from the start of a month to a moment in it, rounded once."""
    if pool.invoice:
        return _of_invoice(pool, first, until)
    if pool.purchase is not None:
        return _of_purchase(pool, first, until)
    hours = sum(
        (Fraction(part.usd_per_hour) * part.gpu_ns for part in segments(pool, first, until)), Fraction(0)
    )
    return round(hours * PICO / _HOUR)


def _of_invoice(pool: GpuPool, first: int, until: int) -> int | None:
    month = f"{_EPOCH + timedelta(microseconds=first // 1000):%Y-%m}"
    amount = pool.invoice.get(month)
    if amount is None:
        return None
    last = _next_month(first)
    whole = sum(part.gpu_ns for part in segments(pool, first, last))
    used = sum(part.gpu_ns for part in segments(pool, first, until))
    if not whole:
        whole, used = last - first, until - first
    return round(Fraction(amount) * PICO * Fraction(used, whole))


def _of_purchase(pool: GpuPool, first: int, until: int) -> int:
    bought, begin = pool.purchase, pool.from_
    if bought is None or begin is None:
        raise ValueError("the pool was not bought")
    start = nanoseconds(begin)
    years, month = divmod(begin.month - 1 + bought.months, 12)
    day = min(begin.day, 28)  # every month has one
    end = nanoseconds(begin.replace(year=begin.year + years, month=month + 1, day=day))

    def worn(moment: int) -> int:  # rounded as a running total over its life, so that it ends at the price
        used = max(0, min(moment, end) - start)
        return round(Fraction(bought.price - bought.residual) * PICO * used / (end - start))

    gpu_ns = sum(part.gpu_ns for part in segments(pool, first, until))
    power = Fraction(bought.kilowatts) * Fraction(bought.usd_per_kwh) * gpu_ns / _HOUR
    return worn(until) - worn(first) + round(power * PICO)


def _steps(pool: GpuPool, start: int, end: int) -> Iterator[tuple[int, int, int, Decimal]]:
    """(from, until, GPUs, price of an hour): the pool's life within the window, in order."""
    at = max(start, nanoseconds(pool.from_)) if pool.from_ else start
    count, price = pool.count, pool.usd_per_hour or Decimal(0)
    for change in pool.changes:
        moment = nanoseconds(change.from_)
        if at < min(moment, end):
            yield at, min(moment, end), count, price
            at = moment
        count = count if change.count is None else change.count
        price = price if change.usd_per_hour is None else change.usd_per_hour
    if at < end:
        yield at, end, count, price


def _on(schedule: list[Hours], start: int, end: int) -> list[tuple[int, int]]:
    """The stretches of the schedule within a window, overlapping ones joined."""
    if not schedule:
        return [(start, end)]
    found: list[tuple[int, int]] = []
    for day in range(start // _DAY, -(-end // _DAY)):
        weekday = _WEEKDAYS[(day + 3) % 7]  # the epoch was a Thursday
        for hours in schedule:
            if weekday in hours.days:
                low, high = day * _DAY + _clock(hours.from_), day * _DAY + _clock(hours.until)
                if max(low, start) < min(high, end):
                    found.append((max(low, start), min(high, end)))
    return joined(found)


def joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(stretches):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _clock(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60 * _SECOND


def _month_start(moment: int) -> int:
    at = _EPOCH + timedelta(microseconds=moment // 1000)
    return nanoseconds(at.replace(day=1, hour=0, minute=0, second=0, microsecond=0))


def _next_month(first: int) -> int:
    at = _EPOCH + timedelta(microseconds=first // 1000)
    return nanoseconds(at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1))
