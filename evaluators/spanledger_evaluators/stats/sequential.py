"""Tests that stay valid however often one looks: scores one by one in, evidence out.

An e-process is a bet against the hypothesis that starts with 1 and cannot be expected to grow while
the hypothesis is true; by Ville's inequality it ever reaches 1/alpha with chance at most alpha.
Sources: Waudby-Smith and Ramdas 2024 (betting); Shin, Ramdas and Rinaldo 2022 (restarts);
Johari et al. 2022 (mSPRT).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from .intervals import Estimate

_BOLDEST = 0.5  # of the greatest bet that cannot lose everything
_PRIOR_VARIANCE = 0.25  # of a score in 0..1, until there is one
_NEWEST_BETS = 12  # are kept whatever they are worth: a drop makes the fresh ones rich
_BEST_BETS = 12  # of the older ones


@dataclass(slots=True)
class _Bet:
    """One betting strategy, begun after ``weight`` was set aside for it: log wealth and running moments."""

    log_weight: float
    log_wealth: float = 0.0
    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def place(self, bound: float, x: float) -> None:
        """Bet on ``mean < bound`` with what is known so far, then look at x."""
        self.log_wealth += math.log1p(-self._stake(bound) * (x - bound))
        self.n += 1
        step = x - self.mean
        self.mean += step / self.n
        self.squares += step * (x - self.mean)

    def _stake(self, bound: float) -> float:
        if self.n == 0 or bound >= 1:
            return 0.0
        # One prior observation at the bound, so that two lucky draws do not stake everything.
        mean = (bound + self.n * self.mean) / (self.n + 1)
        variance = (_PRIOR_VARIANCE + self.squares) / (self.n + 1)
        edge = bound - mean
        return min(max(0.0, edge / (variance + edge * edge)), _BOLDEST / (1 - bound))


@dataclass(slots=True)
class DropTest:
    """Evidence that a stream of scores in 0..1 has come to lie below ``bound`` on average.

    A mixture of bets, each begun at another time, so that a drop after a long good stretch is seen as
    fast as one at the start. ``e_value`` reaching 1/alpha happens with chance at most alpha, ever,
    while every score's expectation given the past is at least ``bound``.
    """

    bound: float
    block: int = 25
    n: int = 0
    begun: int = 0
    bets: list[_Bet] = field(default_factory=list[_Bet])

    def add(self, scores: Iterable[float]) -> Self:
        """Look at more scores, in order of time. Raises ValueError for one outside 0..1."""
        for x in scores:
            if not 0 <= x <= 1:
                raise ValueError(f"a score of {x} is not within 0 to 1")
            if self.n % self.block == 0:
                self._begin()
            self.n += 1
            for bet in self.bets:
                bet.place(self.bound, x)
        return self

    @property
    def e_value(self) -> float:
        """The evidence against "not below the bound"; 20 is what a 5 % test asks for."""
        return math.exp(min(700.0, self.log_e))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the e-value."""
        logs = [bet.log_weight + bet.log_wealth for bet in self.bets]
        if not logs:
            return 0.0
        top = max(logs)
        return top + math.log(sum(math.exp(value - top) for value in logs))

    def rejects(self, alpha: float) -> bool:
        """Whether the drop is confirmed."""
        return self.n > 0 and self.log_e >= math.log(1 / alpha)

    def state(self) -> dict[str, Any]:
        """Everything as plain values, for storage."""
        bets = [[bet.log_weight, bet.log_wealth, bet.n, bet.mean, bet.squares] for bet in self.bets]
        return {"bound": self.bound, "block": self.block, "n": self.n, "begun": self.begun, "bets": bets}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> DropTest:
        """The test that ``state`` was taken of."""
        bets = [
            _Bet(weight, wealth, int(n), mean, squares) for weight, wealth, n, mean, squares in state["bets"]
        ]
        return cls(state["bound"], state["block"], state["n"], state["begun"], bets)

    def _begin(self) -> None:
        """Start the next bet with weight 1 / (k (k + 1)): all weights together are 1, for ever."""
        self.begun += 1
        self.bets.append(_Bet(-math.log(self.begun * (self.begun + 1))))
        if len(self.bets) > _NEWEST_BETS + _BEST_BETS:  # throwing one away only loses evidence
            older = self.bets[:-_NEWEST_BETS]
            self.bets.remove(min(older, key=lambda bet: bet.log_weight + bet.log_wealth))


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
