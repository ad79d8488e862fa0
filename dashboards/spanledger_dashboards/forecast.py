"""Spend by day in; when a budget ends and where its period will end out. Pure.

The remaining days are taken to be like the days of the sample: their sum has mean ``d * m`` and deviation
``sqrt(d) * s``, which gives the interval. It is a forecast of habit, not of plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from .intervals import Z95

Period = Literal["day", "week", "month", "total"]


def period_of(period: str, now: datetime) -> tuple[datetime, datetime | None]:
    """Start and end of the running period, UTC: calendar day, week from Monday, calendar month; ``total`` has no end."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return today, today + timedelta(days=1)
    if period == "week":
        start = today - timedelta(days=today.weekday())
        return start, start + timedelta(days=7)
    if period == "month":
        start = today.replace(day=1)
        return start, (start + timedelta(days=32)).replace(day=1)
    return datetime(1970, 1, 1, tzinfo=UTC), None


@dataclass(frozen=True, slots=True)
class Forecast:
    """USD at the period's end, with its 95 % interval, and the moment the amount is reached (None: not in it)."""

    at_end: float | None
    low: float | None
    high: float | None
    reached: datetime | None
    per_day: float


def forecast(
    spent: Decimal, amount: Decimal, days: Sequence[Decimal], now: datetime, end: datetime | None
) -> Forecast:
    """From what is spent now and what recent whole days cost (oldest first); at least one day is needed to say anything."""
    if not days:
        return Forecast(None, None, None, now if spent >= amount else None, 0.0)
    daily = [float(day) for day in days]
    mean, spread = fmean(daily), stdev(daily) if len(daily) > 1 else 0.0
    reached = now if spent >= amount else None
    if reached is None and mean > 0:
        left = float(amount - spent) / mean
        candidate = now + timedelta(days=left) if left < 36_500 else None
        reached = candidate if candidate is not None and (end is None or candidate < end) else None
    if end is None:
        return Forecast(None, None, None, reached, mean)
    left = max(0.0, (end - now) / timedelta(days=1))
    middle, half = float(spent) + mean * left, Z95 * spread * sqrt(left)
    return Forecast(middle, max(float(spent), middle - half), middle + half, reached, mean)
