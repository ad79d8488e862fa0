"""Means and rates with their intervals: scores (and the clusters they come in) in, estimates out.

Sources: Wilson 1927; Miller 2024 (arXiv 2411.00640) for clustered standard errors; Efron 1987 for BCa.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .distributions import normal_cdf, normal_quantile, t_quantile

FEW_CLUSTERS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its two-sided interval; ``se`` is its standard error, ``df`` the t's degrees of freedom."""

    value: float
    low: float
    high: float
    n: int
    clusters: int
    se: float = math.nan
    df: float = math.inf
    method: str = ""


def wilson(successes: float, n: float, confidence: float = 0.95) -> Estimate:
    """A rate with Wilson's score interval. Raises ValueError unless 0 <= successes <= n and n > 0."""
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"{successes} of {n} is no rate")
    z = normal_quantile(0.5 + confidence / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(value=rate, low=low, high=high, n=int(n), clusters=int(n), method="wilson")


def clustered_se(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Standard error of the mean when scores of one cluster move together: sqrt(sum_c (sum_i d_i)^2) / n."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum(total**2 for total in _cluster_sums(values, clusters, mean).values())) / len(
        values
    )


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> Estimate:
    """The mean with a t interval, clustered where clusters are given.

    With G clusters: t with G - 1 degrees of freedom, and below 30 clusters the variance times G / (G - 1).
    Raises ValueError for fewer than two clusters (or two values).
    """
    groups = list(clusters) if clusters is not None else list(range(len(values)))
    count = len(set(groups))
    if len(groups) != len(values) or count < 2:
        raise ValueError("an interval needs scores of at least two clusters, and a cluster for each score")
    se = clustered_se(values, groups)
    if count < FEW_CLUSTERS or count == len(values):
        se *= math.sqrt(count / (count - 1))
    mean = math.fsum(values) / len(values)
    half = t_quantile(0.5 + confidence / 2, count - 1) * se
    return Estimate(
        value=mean,
        low=mean - half,
        high=mean + half,
        n=len(values),
        clusters=count,
        se=se,
        df=count - 1,
        method="t" if clusters is None else "clustered t",
    )


def bootstrap_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The mean with a BCa bootstrap interval that resamples whole clusters; the same seed, the same interval."""
    groups = list(clusters) if clusters is not None else list(range(len(values)))
    sums: dict[Hashable, tuple[float, int]] = {}
    for value, group in zip(values, groups, strict=True):
        total, count = sums.get(group, (0.0, 0))
        sums[group] = (total + value, count + 1)
    parts = list(sums.values())
    if len(parts) < 2:
        raise ValueError("a bootstrap needs scores of at least two clusters")
    mean = math.fsum(values) / len(values)
    drawn = sorted(_resampled_means(parts, resamples, random.Random(seed)))
    low, high = _bca(mean, drawn, _jackknife(parts), confidence)
    return Estimate(
        value=mean, low=low, high=high, n=len(values), clusters=len(parts), method="bootstrap BCa"
    )


def no_variation_bound(n: int, confidence: float = 0.95) -> float:
    """How often something may still happen that n independent cases never showed (the exact rule of three)."""
    return 1 - (0.5 - confidence / 2) ** (1 / n)


def _cluster_sums(
    values: Sequence[float], clusters: Sequence[Hashable], mean: float
) -> dict[Hashable, float]:
    sums: dict[Hashable, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    return sums


def _resampled_means(parts: Sequence[tuple[float, int]], resamples: int, draw: random.Random) -> list[float]:
    means: list[float] = []
    for _ in range(resamples):
        chosen = draw.choices(parts, k=len(parts))
        means.append(math.fsum(total for total, _ in chosen) / sum(count for _, count in chosen))
    return means


def _jackknife(parts: Sequence[tuple[float, int]]) -> list[float]:
    total = math.fsum(part for part, _ in parts)
    count = sum(size for _, size in parts)
    return [(total - part) / (count - size) for part, size in parts if count > size]


def _bca(
    mean: float, drawn: Sequence[float], left_out: Sequence[float], confidence: float
) -> tuple[float, float]:
    below = sum(value < mean for value in drawn) + 0.5 * sum(value == mean for value in drawn)
    share = min(max(below / len(drawn), 1 / (2 * len(drawn))), 1 - 1 / (2 * len(drawn)))
    bias = normal_quantile(share)
    centre = math.fsum(left_out) / len(left_out)
    squares = math.fsum((centre - value) ** 2 for value in left_out)
    cubes = math.fsum((centre - value) ** 3 for value in left_out)
    skew = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    at: Callable[[float], float] = lambda p: _adjusted(normal_quantile(p), bias, skew)  # noqa: E731
    low, high = at(0.5 - confidence / 2), at(0.5 + confidence / 2)
    return _at_share(drawn, low), _at_share(drawn, high)


def _adjusted(z: float, bias: float, skew: float) -> float:
    return normal_cdf(bias + (bias + z) / (1 - skew * (bias + z)))


def _at_share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))]
