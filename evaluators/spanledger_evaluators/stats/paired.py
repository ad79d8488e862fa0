"""Two systems on the same cases: paired scores in; the difference, its tests and the cases still needed out.

Sources: McNemar 1947 (exact and mid-p: Fagerland 2013); Newcombe 1998 for the interval of paired rates;
Miller 2024 (arXiv 2411.00640) for power.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from .distributions import binomial_at_most, normal_cdf, normal_quantile, t_cdf
from .intervals import Estimate, mean_interval, no_variation_bound, wilson


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p values for a change of a pass rate, from the discordant pairs alone."""

    exact: float
    mid: float


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Exact and mid-p tests; ``only_first``: cases that only the first system passed."""
    n = only_first + only_second
    if n == 0:
        return McNemar(1.0, 1.0)
    fewer = min(only_first, only_second)
    tail = binomial_at_most(fewer, n)
    point = math.comb(n, fewer) / 2**n
    middle = 1.0 if only_first == only_second else min(1.0, 2 * tail - point)
    return McNemar(min(1.0, 2 * tail), middle)


def difference(
    base: Sequence[float],
    candidate: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of candidate - base over pairs, with an interval that fits the kind of score.

    Pass or fail without clusters: Newcombe's interval of paired rates. Otherwise t (clustered). Where
    no pair differs, the interval is what n equal pairs still allow, and not a point.
    """
    pairs = [after - before for before, after in zip(base, candidate, strict=True)]
    if clusters is None and _binary(base) and _binary(candidate):
        return _paired_rates(base, candidate, confidence)
    found = mean_interval(pairs, clusters, confidence)
    if found.se > 0:
        return found
    half = no_variation_bound(found.clusters, confidence)
    return replace(found, low=found.value - half, high=found.value + half, method="no variation")


def p_below(estimate: Estimate, bound: float) -> float:
    """One-sided p value of "the true value is at least ``bound``"; small: it lies below."""
    return _tail(estimate, bound - estimate.value)


def p_above(estimate: Estimate, bound: float) -> float:
    """One-sided p value of "the true value is at most ``bound``"; small: it lies above."""
    return _tail(estimate, estimate.value - bound)


def cases_needed(
    smallest_effect: float,
    variance: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    noise_base: float = 0.0,
    noise_candidate: float = 0.0,
    repeats_base: int = 1,
    repeats_candidate: int = 1,
) -> int:
    """Pairs needed to see an effect: (z_a/2 + z_b)^2 (w^2 + s_A^2/K_A + s_B^2/K_B) / d^2 (Miller 2024).

    ``variance`` is that of the pairs' true differences; ``noise_*`` the variance within a case, which
    ``repeats_*`` answers average out.
    """
    if smallest_effect <= 0:
        raise ValueError("the smallest effect worth seeing is greater than 0")
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    spread = variance + noise_base / repeats_base + noise_candidate / repeats_candidate
    return math.ceil(z * z * spread / smallest_effect**2)


def smallest_effect(n: int, variance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that n pairs show with this power: the inverse of ``cases_needed``."""
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return z * math.sqrt(variance / n)


def _tail(estimate: Estimate, distance: float) -> float:
    """P of a deviation of ``distance`` or more by chance; from the interval where there is no se."""
    if estimate.se > 0 and math.isfinite(estimate.df):
        return 1 - t_cdf(distance / estimate.se, estimate.df)
    half = (estimate.high - estimate.low) / 2
    if half <= 0:
        return 1.0 if distance <= 0 else 0.0
    # Invert the interval on the side that matters, as if it were normal there.
    side = (estimate.high - estimate.value) if distance < 0 else (estimate.value - estimate.low)
    return 1 - normal_cdf(distance / (max(side, 1e-12) / normal_quantile(0.975)))


def _binary(values: Sequence[float]) -> bool:
    return all(value in (0.0, 1.0) for value in values)


def _paired_rates(base: Sequence[float], candidate: Sequence[float], confidence: float) -> Estimate:
    """Newcombe 1998, paired method 10: Wilson limits of both rates, joined by their correlation."""
    n = len(base)
    if n < 2:
        raise ValueError("an interval needs at least two pairs")
    both = sum(a == 1 and b == 1 for a, b in zip(base, candidate, strict=True))
    neither = sum(a == 0 and b == 0 for a, b in zip(base, candidate, strict=True))
    first = wilson(sum(base), n, confidence)
    second = wilson(sum(candidate), n, confidence)
    phi = _phi(both, int(sum(base)) - both, int(sum(candidate)) - both, neither)
    delta = second.value - first.value
    up, down = second.high - second.value, second.value - second.low
    base_up, base_down = first.high - first.value, first.value - first.low
    low = delta - math.sqrt(max(0.0, down**2 - 2 * phi * down * base_up + base_up**2))
    high = delta + math.sqrt(max(0.0, up**2 - 2 * phi * up * base_down + base_down**2))
    return Estimate(value=delta, low=low, high=high, n=n, clusters=n, method="paired rates")


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    product = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    if product == 0:
        return 0.0
    cross = both * neither - first_only * second_only
    n = both + first_only + second_only + neither
    if cross > n / 2:
        cross = cross - n / 2  # Newcombe's continuity correction
    elif cross > 0:
        cross = 0
    return cross / math.sqrt(product)
