"""Tests that stay valid however often one looks: scores one by one in, evidence out.

An e-process is a bet against the hypothesis that starts with 1 and cannot be expected to grow while
the hypothesis is true; by Ville's inequality it ever reaches 1/alpha with chance at most alpha.
Sources: Waudby-Smith and Ramdas 2024 (betting); Shin, Ramdas and Rinaldo 2022 (restarts);
Johari et al. 2022 (mSPRT).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .drops import DropTest
from .intervals import Estimate

__all__ = ["DropTest", "confidence_sequence", "msprt"]

_BOLDEST = 0.5  # of the greatest bet that cannot lose everything
_PRIOR_VARIANCE = 0.25  # of a score in 0..1, until there is one


def confidence_sequence(scores: Sequence[float], alpha: float = 0.05, *, grid: int = 200) -> Estimate:
    """The mean of scores in 0..1 with an interval that is valid at every look (hedged betting).

    A value m stays in while neither the bet on "above m" nor that on "below m" has reached 2/alpha.
    """
    if not scores:
        raise ValueError("a confidence sequence needs at least one score")
    points = [(index + 0.5) / grid for index in range(grid)]
    limit = math.log(2 / alpha)
    alive = [point for point in points if _capital(scores, point) < limit]
    mean = math.fsum(scores) / len(scores)
    low, high = (min(alive), max(alive)) if alive else (mean, mean)
    half = 0.5 / grid
    return Estimate(
        value=mean,
        low=max(0.0, low - half),
        high=min(1.0, high + half),
        n=len(scores),
        clusters=len(scores),
        method="betting confidence sequence",
    )


def _capital(scores: Sequence[float], m: float) -> float:
    """Greatest log wealth, over time, of predictable bets for and against a mean of m."""
    up = down = best = 0.0
    mean, variance, squares = 0.5, _PRIOR_VARIANCE, 0.0
    for index, x in enumerate(scores, 1):
        stake = math.sqrt(2 * math.log(40) / (variance * index * math.log1p(index)))
        up += math.log1p(min(stake, _BOLDEST / m) * (x - m))
        down += math.log1p(-min(stake, _BOLDEST / (1 - m)) * (x - m))
        best = max(best, up, down)
        mean = mean + (x - mean) / (index + 1)
        squares += (x - mean) ** 2
        variance = (_PRIOR_VARIANCE + squares) / (index + 1)
    return best


def msprt(differences: Sequence[float], variance: float, mixture: float) -> float:
    """An always-valid p value that a stream of differences has mean 0 (mixture SPRT, normal).

    ``variance`` is that of one difference, ``mixture`` the variance of effects one expects to see.
    Returns the smallest value over all looks so far: it only falls.
    """
    if variance <= 0 or mixture <= 0:
        raise ValueError("variances are greater than 0")
    total = 0.0
    p = 1.0
    for n, step in enumerate(differences, 1):
        total += step
        shrunk = variance + n * mixture
        log_ratio = 0.5 * math.log(variance / shrunk) + mixture * total**2 / (2 * variance * shrunk)
        p = min(p, math.exp(-log_ratio) if log_ratio > 0 else 1.0)
    return p
