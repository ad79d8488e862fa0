"""Evidence that a stream of values in 0..1 has come to lie below a bound: always valid, for one stream or for many.

The many are for simulation: every stream sees one value at each step, and all arithmetic is the same code.
Sources: Waudby-Smith and Ramdas 2024 (betting); Shin, Ramdas and Rinaldo 2022 (restarts).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BOLDEST = 0.5  # of the greatest bet that cannot lose everything
_PRIOR_VARIANCE = 0.25  # of a value in 0..1, until there is one
_NEWEST_BETS = 12  # are kept whatever they are worth: a drop makes the fresh ones rich
_BEST_BETS = 12  # of the older ones
_POWER = 1.2  # how fast the weights of later bets fall: slowly, for most drops come after a long good stretch
_ZETA = 5.5915825  # Riemann's zeta of it, rounded up
_FIELDS = ("log_weight", "log_wealth", "count", "mean", "squares")


class DropTests:
    """A mixture of bets on "below ``bound``" for each stream, each bet begun at another time.

    A drop after a long good stretch is so seen as fast as one at the start. A stream's e-value reaches 1/alpha with
    chance at most alpha, ever, while every value's expectation given the past is at least ``bound``.

    ``soon``: what is looked for begins with the stream, as a recovery that is tested from a change on. The first bet
    then has half of all weight, and later ones lose it fast.
    """

    def __init__(
        self, bound: float | Array, *, block: int = 25, streams: int = 1, soon: bool = False
    ) -> None:
        self.bound: Array = np.broadcast_to(np.asarray(bound, dtype=np.float64), (streams,)).copy()
        self.block = block
        self.soon = soon
        self.n = 0
        self.begun = 0
        # One row a field, then one a stream, then one column a bet: the older ones first, the newest last.
        self._bets: Array = np.zeros((len(_FIELDS), streams, 0))

    def step(self, x: Array) -> None:
        """Look at the next value of every stream, an array of one value in 0..1 each."""
        if self.n % self.block == 0:
            self._begin()
        self.n += 1
        _, wealth, count, mean, squares = self._bets
        bound = self.bound[:, None]
        seen = x[:, None]
        # One prior observation at the bound, so that two lucky draws do not stake everything.
        edge = bound - (bound + count * mean) / (count + 1)
        variance = (_PRIOR_VARIANCE + squares) / (count + 1)
        boldest = _BOLDEST / np.maximum(1 - bound, 1e-9)
        stake = np.where(bound < 1, np.clip(edge / (variance + edge * edge), 0.0, boldest), 0.0)
        wealth += np.log1p(-stake * (seen - bound))
        count += 1
        by = seen - mean
        mean += by / count
        squares += by * (seen - mean)

    @property
    def log_e(self) -> Array:
        """Natural logarithm of each stream's e-value."""
        if not self.begun:
            return np.zeros(len(self.bound))
        logs = self._bets[0] + self._bets[1]
        top = logs.max(axis=1)
        return top + np.log(np.exp(logs - top[:, None]).sum(axis=1))

    def reject(self, alpha: float) -> NDArray[np.bool_]:
        """Whether each stream's drop is confirmed."""
        return (self.log_e >= math.log(1 / alpha)) & (self.n > 0)

    def state(self) -> dict[str, Any]:
        """The first stream's everything as plain values, for storage."""
        bets: list[list[float]] = self._bets[:, 0, :].T.tolist()
        return {
            "bound": float(self.bound[0]),
            "block": self.block,
            "n": self.n,
            "begun": self.begun,
            "bets": bets,
        }

    @classmethod
    def restored(cls, state: dict[str, Any], *, soon: bool = False) -> Self:
        """The test of one stream that ``state`` was taken of; ``soon`` as it was begun with."""
        test = cls(state["bound"], block=state["block"], soon=soon)
        test.n, test.begun = int(state["n"]), int(state["begun"])
        bets = np.array(state["bets"], dtype=np.float64).reshape(-1, len(_FIELDS))
        test._bets = np.ascontiguousarray(bets.T)[:, None, :].copy()
        return test

    def _begin(self) -> None:
        """Start the next bet with weight 1 / (zeta(1.2) k^1.2), or 1 / (k (k + 1)): together they are 1, for ever."""
        self.begun += 1
        k = self.begun
        streams = len(self.bound)
        fresh = np.zeros((len(_FIELDS), streams, 1))
        fresh[0] = -math.log(k * (k + 1) if self.soon else _ZETA * k**_POWER)
        self._bets = np.concatenate([self._bets, fresh], axis=2)
        if self._bets.shape[2] <= _NEWEST_BETS + _BEST_BETS:
            return
        # The oldest of the newest joins the older ones and the poorest of these goes: that only loses evidence.
        older = self._bets[:, :, : _BEST_BETS + 1]
        poorest = (older[0] + older[1]).argmin(axis=1)
        rows = np.arange(streams)
        older[:, rows, poorest] = older[:, rows, _BEST_BETS].copy()
        self._bets = np.delete(self._bets, _BEST_BETS, axis=2)


class DropTest(DropTests):
    """The same for one stream, whose values come as plain numbers."""

    def __init__(self, bound: float, block: int = 25, *, soon: bool = False) -> None:
        super().__init__(bound, block=block, streams=1, soon=soon)

    def add(self, values: Iterable[float]) -> Self:
        """Look at more values, in order of time. Raises ValueError for one outside 0..1."""
        for x in values:
            if not 0 <= x <= 1:
                raise ValueError(f"a score of {x} is not within 0 to 1")
            self.step(np.array([x]))
        return self

    @property
    def e_value(self) -> float:
        """The evidence against "not below the bound"; 20 is what a 5 % test asks for."""
        return math.exp(min(700.0, float(self.log_e[0])))

    def rejects(self, alpha: float) -> bool:
        """Whether the drop is confirmed."""
        return bool(self.reject(alpha)[0])
