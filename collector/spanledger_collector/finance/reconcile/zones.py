"""Daily sums of a bill and our half hours in; the time zone in which the bill was cut, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from .ours import HourUsage

_NAMED = (
    "UTC", "America/Los_Angeles", "America/New_York", "America/Chicago", "America/Denver", "America/Sao_Paulo",
    "Europe/London", "Europe/Berlin", "Asia/Kolkata", "Asia/Dubai", "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo",
    "Australia/Sydney",
)  # fmt: skip
_FIXED = tuple(half for half in range(-24, 29))
_ENOUGH, _FEW = 0.6, 5

Daily = Mapping[tuple[date, str], Decimal]
"""Tokens (or money) by day and model."""


def zones() -> list[tzinfo]:
    """Candidates: zones of many people with their summer times, then every half hour from -12:00 to +14:00."""
    fixed = [timezone(timedelta(minutes=30 * half)) for half in _FIXED if half]
    return [*(ZoneInfo(name) for name in _NAMED), *fixed]


def find_zone(
    theirs: Daily, hours: Sequence[HourUsage], declared: tzinfo, equal: Callable[[Decimal, Decimal], bool],
    money: bool,
) -> tzinfo | None:  # fmt: skip
    """The zone in which most days agree, when in the declared one most do not; None when the declared one is right.

    The first and last day are left out: there a cut may have lost hours of the period. At least five days are needed.
    """
    days = sorted({day for day, _ in theirs})
    if len(days) < _FEW + 2:
        return None
    inner = {key: value for key, value in theirs.items() if days[0] < key[0] < days[-1]}
    now = _agreeing(inner, cut(hours, declared, money), equal)
    if now >= _ENOUGH:
        return None
    scored = [(_agreeing(inner, cut(hours, zone, money), equal), zone) for zone in zones()]
    best, zone = max(scored, key=lambda entry: entry[0])
    return zone if best >= _ENOUGH and best >= 2 * now else None


def cut(hours: Sequence[HourUsage], zone: tzinfo, money: bool) -> dict[tuple[date, str], Decimal]:
    """Our half hours as days of a zone."""
    found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for hour in hours:
        found[hour.start.astimezone(zone).date(), hour.model] += hour.cost if money else hour.tokens
    return found


def _agreeing(theirs: Daily, mine: Daily, equal: Callable[[Decimal, Decimal], bool]) -> float:
    return sum(equal(value, mine.get(key, Decimal(0))) for key, value in theirs.items()) / len(theirs)


def name_of(zone: tzinfo) -> str:
    """A zone's name for people."""
    return str(zone)
