"""The workers' journal: runs of their tasks in, rows of ``task_runs``; and when a task last ran well, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .clickhouse import Client
from .reads.asking import Row, ask, ask_one
from .writes_evaluation import insert_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRuns:
    """One run of a rare task, or the runs of a minute of a frequent one; ``time`` is the start of the first, ns."""

    task: str
    worker: str
    time: int
    runs: int
    failed: int
    busy_ns: int
    longest_ns: int
    did: dict[str, int] = field(default_factory=dict[str, int])
    error: str = ""


def insert_task_runs(client: Client, runs: Sequence[TaskRuns]) -> None:
    """Write entries of the journal."""
    insert_rows(client, "task_runs", TaskRuns, runs)


_LAST = (
    "SELECT toUnixTimestamp64Nano(max(task_runs.time)) AS last, count() AS n FROM task_runs"
    " WHERE task = {task:String} AND runs > failed"
)


def last_run(client: Client, task: str) -> int | None:
    """When the task last ran without failing, ns; None for never (or longer ago than the journal is kept)."""
    row = ask_one(client, _LAST, {"task": task})
    return int(row["last"]) if row["n"] else None


_RECENT = """
SELECT task, sum(runs) AS times, sum(failed) AS failures, sum(busy_ns) / 1e9 AS busy_s, max(longest_ns) / 1e9 AS longest_s,
    toUnixTimestamp64Nano(max(task_runs.time)) AS last_ns, sumMap(did) AS work, argMaxIf(error, task_runs.time, error != '') AS last_error
FROM task_runs WHERE task_runs.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') GROUP BY task ORDER BY task
"""


def task_summary(client: Client, *, since: int) -> list[Row]:
    """One row a task: runs, failures, seconds busy and longest, what it did and its last error since then (ns)."""
    return ask(client, _RECENT, {"since": since})
