"""Intervals for means and shares: pure formulas, 95 % unless told otherwise.

Wilson (1927) for shares; Student's t for means, its quantile by Cornish-Fisher (Abramowitz & Stegun 26.7.5).
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)


def wilson(mean: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The interval of a share ``mean`` seen in ``n`` trials."""
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(max(0.0, mean * (1 - mean) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def student(mean: float, deviation: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The interval of a mean of ``n`` >= 4 values with sample deviation ``deviation``."""
    free = n - 1
    t = (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    half = t * deviation / sqrt(n)
    return mean - half, mean + half


def interval(
    mean: float | None, deviation: float | None, n: int, *, binary: bool
) -> tuple[float, float] | None:
    """The 95 % interval of some scores, or None where there are too few to give one (fewer than four)."""
    if mean is None or n < 4:
        return None
    if binary:
        return wilson(mean, n)
    return None if deviation is None or deviation != deviation else student(mean, deviation, n)
