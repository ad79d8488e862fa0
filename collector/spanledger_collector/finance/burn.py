"""Spend of recent windows in; whether a budget burns too fast, out: several windows, as for error budgets.

After the SRE Workbook, chapter 5 ("multiwindow, multi-burn-rate alerts"): of a 30-day budget 2 % within an hour, 5 % within six
hours, 10 % within three days; each only while the last twelfth of the window burns as fast, so that an alert ends soon after
its cause. Windows of other periods are the same shares of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

_MONTH_S = 30 * 86_400
_SHORTEST_S = 300


@dataclass(frozen=True, slots=True)
class Rule:
    """``share`` of the budget within ``window_s`` of a 30-day period."""

    window_s: int
    share: Decimal
    severity: Literal["warning", "critical"]


RULES = (
    Rule(3_600, Decimal("0.02"), "critical"),
    Rule(6 * 3_600, Decimal("0.05"), "critical"),
    Rule(3 * 86_400, Decimal("0.10"), "warning"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """A window in which a budget burns ``rate`` times as fast as it may to last its period."""

    window_s: int
    rate: float
    limit: float
    spent: Decimal
    severity: Literal["warning", "critical"]


def windows(period_s: int) -> list[tuple[int, int]]:
    """The windows to read for a period, each with the short one that confirms it, seconds."""
    long = [max(_SHORTEST_S, rule.window_s * period_s // _MONTH_S) for rule in RULES]
    return [(seconds, max(_SHORTEST_S // 5, seconds // 12)) for seconds in long]


def burning(spent_in: Callable[[int], Decimal], amount: Decimal, period_s: int) -> list[Burn]:
    """Rules that hold, gravest first. ``spent_in`` gives the USD of the last so many seconds.

    A budget of nothing cannot burn.
    """
    if amount <= 0:
        return []
    found: list[Burn] = []
    for rule, (long, short) in zip(RULES, windows(period_s), strict=True):
        allowed = rule.share * _MONTH_S / rule.window_s
        rates = [spent_in(seconds) / amount * period_s / seconds for seconds in (long, short)]
        if min(rates) >= allowed:
            found.append(
                Burn(
                    window_s=long,
                    rate=float(min(rates)),
                    limit=float(allowed),
                    spent=spent_in(long),
                    severity=rule.severity,
                )
            )
    return found


def gravest(burns: Sequence[Burn]) -> Burn | None:
    """The one to tell."""
    return next(iter(burns), None)
