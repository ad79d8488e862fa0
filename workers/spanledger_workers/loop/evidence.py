"""What is known of a route's primary since the last change: scores as they are made in, a test's state out.

The test is always valid: it may be looked at after every score, for as long as the route lives, and
the chance that it ever calls out for nothing stays below its alpha.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from spanledger_collector.store.reads.evaluation import TimedScore
from spanledger_evaluators.stats.sequential import DropTest

_BLOCK = 10  # scores between two beginnings of a bet: how soon a late drop is bet on afresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Scores of the primary so far. ``rising`` tests for "above the floor", else for "below" it.

    ``cursor`` is the newest ``created_at`` that was looked at; ``newest`` the latest values, the
    oldest of them first, at most ``keep`` of them.
    """

    floor: float
    rising: bool
    keep: int
    since: int
    cursor: int
    test: DropTest
    newest: tuple[float, ...] = ()
    newest_at: int = 0
    ignored: int = 0
    signature: str = field(default="")

    @classmethod
    def begun(cls, *, floor: float, rising: bool, keep: int, since: int, signature: str) -> Self:
        """Nothing known yet; scores of calls that start at or after ``since`` will count."""
        test = DropTest(1 - floor if rising else floor, block=_BLOCK)
        return cls(
            floor=floor, rising=rising, keep=keep, since=since, cursor=since, test=test, signature=signature
        )

    def with_scores(self, scores: Sequence[TimedScore], cursor: int) -> Evidence:
        """After more scores, in the order in which they were made; values outside 0..1 are counted and ignored."""
        values = [score.value for score in scores if 0 <= score.value <= 1]
        test = DropTest.restored(self.test.state()).add(
            1 - value if self.rising else value for value in values
        )
        return replace(
            self,
            cursor=cursor,
            test=test,
            newest=(*self.newest, *values)[-self.keep :],
            newest_at=max([self.newest_at, *(score.time for score in scores)]),
            ignored=self.ignored + len(scores) - len(values),
        )

    @property
    def samples(self) -> int:
        """How many scores count."""
        return self.test.n

    @property
    def recent_mean(self) -> float:
        """Mean of the latest values; NaN for none."""
        return sum(self.newest) / len(self.newest) if self.newest else float("nan")

    def to_json(self) -> str:
        """Everything, for storage."""
        values: dict[str, Any] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "test"
        }
        return json.dumps(values | {"test": self.test.state()})

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """What ``to_json`` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(text)
        test = DropTest.restored(values.pop("test"))
        values["newest"] = tuple(values["newest"])
        return cls(**values, test=test)
