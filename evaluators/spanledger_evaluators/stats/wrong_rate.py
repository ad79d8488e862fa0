"""Judged checks in; evidence that the rate of wrong ones lies below (or above) a bound, and the bound itself, out.

Everything here may be looked at after every check: the evidence is an e-process (Ville's inequality), so it
ever reaches 1/alpha by chance with probability at most alpha.

A check that the judge saw is x = 1 where the judge says "wrong". With TPR and FPR the judge's chances to call a wrong
and a right one wrong, and t the true rate, E[x] = t TPR + (1 - t) FPR (Rogan and Gladen 1978). With bounds
``notices <= TPR`` and ``alarms <= FPR`` put z = x - alarms for judged checks and z = 0 for those known to be right
without a judge (equal text, a person): then E[z] >= t (notices - alarms), whatever the shares of both. So under
"t >= allowed" each factor 1 + c (m - z) with m = allowed (notices - alarms) has an expectation of at most 1
(betting, Waudby-Smith and Ramdas 2024). Bets c are a fixed mixture, dense near "no wrong ones at all", so the
evidence depends on the counts alone and not on their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SHARES: Floats = ((np.arange(16) + 0.5) / 16) ** 2  # alternatives, as shares of the rate under the bound
_EXCESSES = (1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0)  # alternatives above it, as multiples
_MOST = 1 - 1e-9
_FARTHEST = 10_000_000  # checks; beyond this "needed" is not worth a number

FLAGGED, CLEARED, SURE = 0, 1, 2
"""Columns of counts: called wrong (by judge or person), called right by the judge, known to be right without it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """How well a judge notices: ``notices`` bounds its TPR from below, ``alarms`` its FPR from below."""

    notices: float = 1.0
    alarms: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for a judge that calls right answers wrong as often as wrong ones."""
        if not 0 <= self.alarms < self.notices <= 1:
            raise ValueError("a judge must call wrong answers wrong more often than right ones")


PERFECT = Notice()


def gains(allowed: float, judge: Notice = PERFECT) -> Floats:
    """Logarithms of what each kind of check multiplies each bet by; shape (3, bets), rows as the columns of counts."""
    mean = allowed * (judge.notices - judge.alarms)
    called = min(_MOST, mean + judge.alarms)  # least rate of "wrong" among judged checks under the null
    stakes = (1 - _SHARES) / (1 - called)
    return np.stack([np.log(_SHARES), np.log1p(stakes * called), np.log1p(stakes * mean)])


def log_evidence(counts: NDArray[Any], gained: Floats) -> Floats:
    """Natural log of the evidence against "the rate is at least what ``gains`` was made for".

    ``counts`` (..., 3) by kind of check; the result has its leading shape.
    """
    logs: Floats = counts.astype(np.float64) @ gained
    top = logs.max(axis=-1, keepdims=True)
    summed: Floats = top[..., 0] + np.log(np.exp(logs - top).mean(axis=-1))
    return summed


def upper_bound(flagged: int, cleared: int, sure: int, alpha: float, judge: Notice = PERFECT) -> float:
    """The greatest true rate that the checks still allow: valid at every look with confidence 1 - alpha."""
    counts = np.array([flagged, cleared, sure])
    limit = -math.log(alpha)
    low, high = 0.0, 1.0
    for _ in range(40):  # the evidence grows with the rate it is against
        middle = (low + high) / 2
        if float(log_evidence(counts, gains(middle, judge))) >= limit:
            high = middle
        else:
            low = middle
    return high


def needed(counts: NDArray[Any], gained: Floats, limit: float) -> int:
    """How many more checks, all judged right, lift the log evidence to ``limit``; 0 when it is there."""

    def there(more: int) -> bool:
        later = counts.copy()
        later[CLEARED] += more
        return float(log_evidence(later, gained)) >= limit

    if there(0):
        return 0
    high = 1
    while not there(high) and high < _FARTHEST:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if there(middle) else (middle, high)
    return high


def log_excess(flagged: int, cleared: int, rate: float) -> float:
    """Natural log of the evidence that "wrong" is called more often than at ``rate``; a mixture of ratios."""
    if rate <= 0:
        return math.inf if flagged else 0.0
    logs = [
        flagged * math.log(times) + cleared * math.log1p(-(times - 1) * rate / (1 - rate))
        for times in _EXCESSES
        if times * rate < 1
    ]
    if not logs:
        return 0.0
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))


def lower_bound(flagged: int, cleared: int, alpha: float) -> float:
    """The smallest rate of "wrong" that the checks still allow: valid at every look with confidence 1 - alpha."""
    limit = -math.log(alpha)
    low, high = 0.0, flagged / max(1, flagged + cleared)
    for _ in range(40):
        middle = (low + high) / 2
        if log_excess(flagged, cleared, middle) >= limit:
            low = middle
        else:
            high = middle
    return low
