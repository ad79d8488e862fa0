"""Runs of tasks in; metrics at once, and rows of ``task_runs`` a minute (or a run) later, out."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clickhouse_connect.driver.exceptions import Error as StoreError

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.journal import TaskRuns, insert_task_runs

from . import metrics
from .clock import MINUTE

_MOST_KEPT = 10_000  # rows that wait for a store that is away; beyond it the oldest go


@dataclass(slots=True)
class _Tally:
    time: int
    runs: int = 0
    failed: int = 0
    busy_ns: int = 0
    longest_ns: int = 0
    did: dict[str, int] = field(default_factory=dict[str, int])
    error: str = ""


class Journal:
    """What one process ran. Not shared between processes: each writes rows of its own."""

    def __init__(self, store: Callable[[], Client], clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock
        self._tallies: dict[str, _Tally] = {}
        self._waiting: list[TaskRuns] = []
        self._pid = 0

    def note(
        self, task: str, began: int, took_ns: int, did: Mapping[str, int], error: str, *, rare: bool
    ) -> None:
        """Count a run that began at ``began`` (ns); a rare task's is written at once, others once a minute."""
        metrics.TASKS.labels(task, "failed" if error else "ok").inc()
        metrics.SECONDS.labels(task).observe(took_ns / 1e9)
        if self._pid != os.getpid():  # forked: what the parent counted is the parent's to write
            self._tallies, self._waiting, self._pid = {}, [], os.getpid()
        tally = self._tallies.setdefault(task, _Tally(began))
        tally.runs += 1
        tally.failed += bool(error)
        tally.busy_ns += took_ns
        tally.longest_ns = max(tally.longest_ns, took_ns)
        tally.error = error[:2000] or tally.error
        for name, count in did.items():
            tally.did[name] = tally.did.get(name, 0) + count
        self._write(task if rare else "")

    def _write(self, at_once: str) -> None:
        now = self._clock()
        due = [n for n, tally in self._tallies.items() if n == at_once or now - tally.time >= MINUTE]
        if not due:
            return
        self._waiting += [self._row(name, self._tallies.pop(name)) for name in due]
        try:
            insert_task_runs(self._store(), self._waiting)
        except StoreError:  # with the next
            self._waiting = self._waiting[-_MOST_KEPT:]
        else:
            self._waiting = []

    def _row(self, name: str, tally: _Tally) -> TaskRuns:
        return TaskRuns(
            task=name,
            worker=f"{socket.gethostname()}:{self._pid}",
            time=tally.time,
            runs=tally.runs,
            failed=tally.failed,
            busy_ns=tally.busy_ns,
            longest_ns=tally.longest_ns,
            did={name: max(0, count) for name, count in tally.did.items()},
            error=tally.error,
        )
