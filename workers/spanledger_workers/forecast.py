"""Spend so far and in the latest windows in; the spend to be expected at the end of the period, out. Pure.

The rate is the lower one of a long and a short window (Google's SRE workbook, chapter 5: alerting on burn rates over
several windows): a burst that is over, or a night's quiet before a busy day, changes nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from spanledger_collector.store.registry.serving import Budget

from .clock import HOUR, MINUTE

Stage = Literal["", "warned", "cheaper", "cache_only"]
STAGES: tuple[Stage, ...] = ("", "warned", "cheaper", "cache_only")
RELEASE = Decimal("0.9")
"""A stage is left when the forecast lies below this part of its threshold: no going to and fro at the edge."""

WINDOWS: dict[str, tuple[int, ...]] = {
    "day": (2 * HOUR, 20 * MINUTE),
    "week": (12 * HOUR, HOUR),
    "month": (48 * HOUR, 4 * HOUR),
}
"""The windows of each period, ns, the longest first."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """``expected`` USD at the period's end, by a rate in USD an hour."""

    expected: Decimal
    usd_per_hour: Decimal


def forecast(spent: Decimal, rates: Sequence[Decimal], left_ns: int) -> Forecast:
    """What will have been spent when ``left_ns`` have passed at the lowest of the rates (USD an hour)."""
    rate = min(rates, default=Decimal(0))
    return Forecast(spent + rate * Decimal(left_ns) / HOUR, rate)


def stage_of(budget: Budget, expected: Decimal, before: Stage) -> Stage:
    """The dearest stage whose threshold the forecast reaches; a stage that holds is left a little later."""
    found: Stage = ""
    thresholds: tuple[tuple[Stage, float | None], ...] = (
        ("warned", min(budget.forecast_at, default=None)),
        ("cheaper", budget.forecast_cheaper_at),
        ("cache_only", budget.forecast_cache_only_at),
    )
    for stage, share in thresholds:
        if share is None:
            continue
        threshold = Decimal(str(share)) * budget.amount
        if STAGES.index(before) >= STAGES.index(stage):
            threshold *= RELEASE
        if expected >= threshold:
            found = stage
    return found


def share_told(budget: Budget, expected: Decimal) -> float | None:
    """The highest share of ``forecast_at`` that is reached."""
    return max((s for s in budget.forecast_at if expected >= Decimal(str(s)) * budget.amount), default=None)
