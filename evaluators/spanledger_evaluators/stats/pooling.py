"""Checks of many partitions in; one certificate for those that are alike, and one for each that is not, out.

Partitions are pooled, because alone few of them would ever see enough checks. A partition whose rate of wrong hits is
proven to lie above what is allowed (an e-process, so at any look) leaves the pool and has to certify by itself, on a
share of alpha of its own. Its past checks stay counted, or everything that they spoke against begins anew on less
alpha: so the choice of whom to leave out cannot flatter the pool.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .certificate import Certificate, Certifier, Check, Counts
from .judge_error import JudgeError
from .wrong_rate import log_excess

POOL_SHARE = 0.9  # of alpha; the rest is for partitions that stand apart
UNLIKE = math.log(20)  # log evidence that takes a partition out of the pool
MOST_WATCHED = 500  # partitions whose own counts are kept; the others are pooled unwatched


@dataclass(slots=True, kw_only=True)
class Pool:
    """All evidence about one group: same project, route, embedder and guards."""

    allowed: float
    thresholds: tuple[float, ...]
    judge: JudgeError = field(default_factory=JudgeError)
    alpha: float = 0.05
    together: Certifier = field(init=False)
    apart: dict[str, Certifier] = field(init=False)
    _watched: dict[str, Counts] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known yet: closed."""
        self.together = self._certifier(POOL_SHARE)
        self.apart = {}
        self._watched = {}

    def trust(self, judge: JudgeError) -> None:
        """Take what is known of the judge's errors now."""
        self.judge = judge
        for share, certifier in ((POOL_SHARE, self.together), *self._apart_shares()):
            certifier.trust(judge.bounds, (self.alpha - judge.level) * share)

    def add(self, partition: str | None, check: Check) -> None:
        """Count one check of a partition; a wrong one may show that the partition is unlike the others.

        Where nobody can say of which partition it is (None), it counts for all of them and sets none apart.
        """
        if partition is None:
            self.together.add(check)
            return
        own = self.apart.get(partition)
        if own is not None:
            own.add(check)
            return
        self.together.add(check)
        counts = self._watch(partition)
        if counts is not None:
            at = sum(threshold > check.similarity for threshold in self.thresholds)
            counts[at:, 0 if check.wrong else 1] += 1
            if check.wrong and self._unlike(counts):
                self._set_apart(partition)

    def threshold(self, partition: str = "") -> float | None:
        """From which similarity on hits of the partition may be served; None: from none."""
        own = self.apart.get(partition)
        return (self.together if own is None else own).threshold()

    def certified(self, partition: str = "") -> float | None:
        """The same without pauses."""
        own = self.apart.get(partition)
        return (self.together if own is None else own).certified()

    def audit_share(self, least: float, partition: str = "") -> float:
        """Which share of the partition's hits has to be checked now."""
        own = self.apart.get(partition)
        return (self.together if own is None else own).audit_share(least)

    def thresholds_apart(self) -> dict[str, float | None]:
        """The same for each partition that stands apart."""
        return {name: certifier.threshold() for name, certifier in self.apart.items()}

    def certificate(self) -> Certificate:
        """Of the pool."""
        return self.together.certificate()

    def state(self) -> dict[str, Any]:
        """All counts as plain values, for storage."""
        return {
            "together": self.together.state(),
            "apart": {name: certifier.state() for name, certifier in self.apart.items()},
            "watched": {name: counts.tolist() for name, counts in self._watched.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave. Raises ValueError or KeyError for counts of another grid."""
        self.together.restore(state["together"])
        for name, counts in state["apart"].items():
            self._set_apart(name, anew=False)
            self.apart[name].restore(counts)
        self._watched = {name: np.array(counts, dtype=np.int64) for name, counts in state["watched"].items()}

    def _watch(self, partition: str) -> Counts | None:
        counts = self._watched.get(partition)
        if counts is None and len(self._watched) < MOST_WATCHED:
            counts = self._watched[partition] = np.zeros((len(self.thresholds), 2), dtype=np.int64)
        return counts

    def _unlike(self, counts: Counts) -> bool:
        flagged, cleared = counts[self.together.leading_without(counts[:, 0], counts[:, 1])]
        alarms = self.judge.alarm_rate or 0.0
        called = self.allowed + (1 - self.allowed) * alarms
        return log_excess(int(flagged), int(cleared), called) >= UNLIKE

    def _set_apart(self, partition: str, *, anew: bool = True) -> None:
        self.apart[partition] = self._certifier(_apart_share(len(self.apart)))
        self._watched.pop(partition, None)
        if anew:
            self.together.begin_anew()

    def _apart_shares(self) -> list[tuple[float, Certifier]]:
        return [(_apart_share(number), certifier) for number, certifier in enumerate(self.apart.values())]

    def _certifier(self, share: float) -> Certifier:
        return Certifier(
            allowed=self.allowed,
            thresholds=self.thresholds,
            alpha=(self.alpha - self.judge.level) * share,
            judge=self.judge.bounds,
        )


def _apart_share(number: int) -> float:
    """What the partition that was set apart as the ``number``-th, from 0, gets; all together 1 - POOL_SHARE."""
    return (1 - POOL_SHARE) / ((number + 1) * (number + 2))
