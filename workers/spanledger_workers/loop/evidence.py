"""One guard's evidence at rest: observations since a moment in; a monitor, and how far it has looked, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .guards import Held, Observation
from .monitor import Monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a guard since ``since`` (ns): only calls that started later count.

    ``cursor``: up to when scores or calls were looked at; ``newest_at``: start of the newest call that counts;
    ``ignored``: values outside 0..1. ``signature`` changes whenever evidence has to be collected afresh.
    """

    monitor: Monitor
    since: int
    cursor: int
    signature: str
    newest_at: int = 0
    ignored: int = 0

    @classmethod
    def begun(cls, held: Held, *, min_samples: int, since: int, signature: str) -> Evidence:
        """Nothing known yet."""
        return cls(monitor=Monitor(held.bound, min_samples), since=since, cursor=since, signature=signature)

    def with_observations(self, seen: Sequence[Observation], cursor: int) -> Evidence:
        """After more observations, in the order in which they became known."""
        valid = [one for one in seen if 0 <= one.x <= 1]
        if not seen:
            return replace(self, cursor=max(cursor, self.cursor))
        monitor = Monitor.restored(self.monitor.state())
        for one in valid:
            monitor.step(np.array([one.x]), one.n)
        return replace(
            self,
            monitor=monitor,
            cursor=max(cursor, self.cursor),
            newest_at=max([self.newest_at, *(one.time for one in seen)]),
            ignored=self.ignored + len(seen) - len(valid),
        )

    @property
    def samples(self) -> int:
        """How many calls or scores count."""
        return self.monitor.samples

    def recent(self, wanted: int) -> float:
        """Mean ``x`` of the latest samples; NaN for none."""
        return float(self.monitor.recent(wanted)[0])

    def to_json(self) -> str:
        """Everything, for storage."""
        names = ("since", "cursor", "signature", "newest_at", "ignored")
        return json.dumps(
            {name: getattr(self, name) for name in names} | {"monitor": self.monitor.state()},
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """What ``to_json`` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(text)
        values["monitor"] = Monitor.restored(values["monitor"])
        return cls(**values)
