"""Quantiles and tails of the distributions that the tests here need: plain floats in and out."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, cast

_NORMAL = NormalDist()


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return _NORMAL.inv_cdf(probability)


def normal_cdf(value: float) -> float:
    """P(Z <= value) for a standard normal Z."""
    return _NORMAL.cdf(value)


def t_quantile(probability: float, df: float) -> float:
    """Student's t quantile with ``df`` degrees of freedom."""
    return float(_special().stdtrit(df, probability))


def t_cdf(value: float, df: float) -> float:
    """P(T <= value) for Student's t with ``df`` degrees of freedom."""
    return float(_special().stdtr(df, value))


def binomial_at_most(successes: int, n: int) -> float:
    """P(X <= successes) for n fair coins, exactly."""
    return sum(math.comb(n, k) for k in range(successes + 1)) / 2**n


def _special() -> Any:
    from scipy import special  # late: nothing that only samples pays for it

    return cast("Any", special)
