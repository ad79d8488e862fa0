"""Paired differences in; whether the second is worse, better or not told apart, out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist
from typing import Literal

from .intervals import student

Word = Literal["better", "worse", "no difference shown", "too few cases"]
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Verdict:
    """``low`` to ``high`` holds the difference; ``visible`` is the smallest difference these cases would show."""

    word: Word
    low: float | None
    high: float | None
    visible: float | None


def verdict(
    difference: float,
    deviation: float | None,
    n: int,
    *,
    tests: int,
    higher_is_better: bool,
    alpha: float = 0.05,
) -> Verdict:
    """Student's interval of a paired difference at ``alpha / tests`` (Bonferroni: so many scores are looked at).

    ``visible`` is what 80 % of repetitions with as many cases would find.
    """
    if n < 4 or deviation is None:
        return Verdict("too few cases", None, None, None)
    z = NormalDist().inv_cdf(1 - alpha / tests / 2)
    low, high = student(difference, deviation, n, z)
    visible = (z + NormalDist().inv_cdf(POWER)) * deviation / sqrt(n)
    if low <= 0 <= high:
        return Verdict("no difference shown", low, high, visible)
    return Verdict("better" if (difference > 0) == higher_is_better else "worse", low, high, visible)


def cases_for(difference: float, deviation: float, *, tests: int, alpha: float = 0.05) -> int:
    """How many cases show ``difference`` with 80 % power."""
    z = NormalDist().inv_cdf(1 - alpha / tests / 2) + NormalDist().inv_cdf(POWER)
    return max(4, ceil((z * deviation / difference) ** 2))
