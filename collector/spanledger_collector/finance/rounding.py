"""An amount and weights in; parts that add up to the amount exactly out. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def split(amount: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Split an amount (0 or more) by weights, by largest remainders; ties go to the earlier key.

    Raises ValueError when no weight is above zero.
    """
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("nothing to split by")
    parts = {key: amount * weight // whole for key, weight in weights.items()}
    left = amount - sum(parts.values())
    if left:
        # Python's sort is stable, so of equal remainders the earlier key comes first.
        by_remainder = sorted(weights, key=lambda key: -(amount * weights[key] % whole))
        for key in by_remainder[:left]:
            parts[key] += 1
    return parts
