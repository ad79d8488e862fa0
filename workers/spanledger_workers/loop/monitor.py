"""What is known of one metric: observations in, whether it fell and whether it recovered out.

Always valid: it may be looked at after every observation, for as long as a route lives. The arithmetic is over many
streams at once; a worker has one, the simulation of its promises (``tests/benchmarks/loop``) hundreds.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spanledger_evaluators.stats.drops import Array, DropTests

_BLOCK = 20  # observations between two beginnings of a bet: how soon a late drop is bet on afresh
FEWEST_PROBES = 5
PROBES_PER_SAMPLE = 0.5  # a return needs at least half the samples that a switch needs
RETURN_ALPHA = 0.2  # a return that was too early is undone by the next switch

Flags = NDArray[np.bool_]


def probes_needed(min_samples: int) -> int:
    """The fewest samples that a recovery takes."""
    return max(FEWEST_PROBES, round(min_samples * PROBES_PER_SAMPLE))


class Monitor:
    """Tests for "below ``bound``" and "above" it, and the newest values, of each stream."""

    def __init__(self, bound: float | Array, min_samples: int, streams: int = 1) -> None:
        self.bound: float | Array = bound
        self.min_samples = min_samples
        self.fall = DropTests(bound, block=_BLOCK, streams=streams)
        self.rise = DropTests(1 - bound, block=_BLOCK, streams=streams, soon=True)
        self.samples = 0
        self._values: Array = np.zeros((streams, min_samples))  # a ring
        self._weights: Array = np.zeros(min_samples)
        self._at = 0

    def step(self, x: Array, weight: int = 1) -> None:
        """The next value of every stream, in 0..1, the mean of ``weight`` calls."""
        self.fall.step(x)
        self.rise.step(1 - x)
        self._values[:, self._at] = x
        self._weights[self._at] = weight
        self._at = (self._at + 1) % self.min_samples
        self.samples += weight

    def recent(self, wanted: int) -> Array:
        """Each stream's mean over the newest values that make ``wanted`` samples; NaN before there is one."""
        order = (self._at - 1 - np.arange(self.min_samples)) % self.min_samples
        weights = self._weights[order]
        weights = weights * (np.cumsum(weights) - weights < wanted)
        total = weights.sum()
        if not total:
            return np.full(len(self._values), np.nan)
        return self._values[:, order] @ weights / total

    def fell(self, alpha: float) -> Flags:
        """A drop below the bound is proven at ``alpha``, and the latest ``min_samples`` lie below it on average."""
        if self.samples < self.min_samples:
            return np.zeros(len(self._values), dtype=np.bool_)
        return self.fall.reject(alpha) & (self.recent(self.min_samples) < self.bound)

    def recovered(self) -> Flags:
        """A stretch at or above the bound is proven, and the latest probes lie there."""
        probes = probes_needed(self.min_samples)
        if self.samples < probes:
            return np.zeros(len(self._values), dtype=np.bool_)
        return self.rise.reject(RETURN_ALPHA) & (self.recent(probes) >= self.bound)

    def state(self) -> dict[str, Any]:
        """One stream's everything as plain values."""
        order = (self._at + np.arange(self.min_samples)) % self.min_samples
        return {
            "bound": self.bound,
            "min_samples": self.min_samples,
            "samples": self.samples,
            "fall": self.fall.state(),
            "rise": self.rise.state(),
            "values": self._values[0, order].tolist(),
            "weights": self._weights[order].tolist(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The monitor that ``state`` was taken of. Raises KeyError, TypeError or ValueError for anything else."""
        made = cls(float(state["bound"]), int(state["min_samples"]))
        made.samples = int(state["samples"])
        made.fall = DropTests.restored(state["fall"])
        made.rise = DropTests.restored(state["rise"], soon=True)
        made._values[0, :] = state["values"]
        made._weights[:] = state["weights"]
        return made
