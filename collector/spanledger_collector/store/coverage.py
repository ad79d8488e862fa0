"""What share of the calls that a rule could score was sampled and scored: counted by five minutes, kept, and read.

Counted from the calls and the jobs themselves and not while planning, so that doing it again gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .clickhouse import Client
from .reads.asking import ask, every, statement
from .reads.evaluation import MODEL_OPERATIONS
from .reads.window import Window
from .writes_evaluation import insert_rows

WINDOW_S = 300
FIELDS = (
    "operation", "team", "feature", "user_id", "route", "upstream", "request_model", "environment", "prompt_name", "cache",
)  # fmt: skip
"""What a rule's filter may name, but for ``has_documents``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One rule in one window: ``window_start`` in Unix seconds, by the calls' start; ``skipped`` by reason."""

    project: str
    evaluator: str
    window_start: int
    matched: int
    sampled: int
    scored: int
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    dead: int
    computed_at: int


_STARTS = "toUnixTimestamp(toStartOfInterval(start_time, toIntervalSecond(300), 'UTC')) AS at"
_CALLS = (
    "project = {project:String}", "operation IN {operations:Array(String)}", "billable", "status = 'ok'", "purpose = ''",
    "start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC')", "start_time < fromUnixTimestamp64Nano({end:Int64}, 'UTC')",
)  # fmt: skip
_JOBS = """
SELECT toUnixTimestamp(toStartOfInterval(eval_jobs.time, toIntervalSecond(300), 'UTC')) AS at, count() AS sampled,
    countIf(state = 'done') AS scored, countIf(state = 'dead') AS dead,
    sumMapIf(map(reason, toUInt64(1)), state = 'skipped') AS skipped
FROM eval_jobs FINAL
WHERE project = {project:String} AND evaluator = {evaluator:String}
    AND eval_jobs.time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') AND eval_jobs.time < fromUnixTimestamp64Nano({end:Int64}, 'UTC')
GROUP BY at
"""


def count_coverage(
    client: Client, *, project: str, evaluator: str, wanted: Mapping[str, object], window: Window, now: int
) -> list[Coverage]:
    """The rule's coverage in each five minutes of the window that had calls or jobs; ``wanted`` is its filter."""
    bound: dict[str, Any] = {"project": project, "evaluator": evaluator, **window.bound()}
    bound["operations"] = list(MODEL_OPERATIONS)
    where: list[str] = [*_CALLS]
    for name in FIELDS:
        if name in wanted:
            value = wanted[name]
            bound[f"is_{name}"] = value if isinstance(value, list) else [value]
            where.append(f"{name} IN {{is_{name}:Array(String)}}")
    calls = statement(f"SELECT {_STARTS}, count() AS n FROM spans WHERE", every(where), "GROUP BY at")  # noqa: S608
    matched = {int(row["at"]): int(row["n"]) for row in ask(client, calls, bound)}
    jobs = {int(row["at"]): row for row in ask(client, _JOBS, bound)}
    made: list[Coverage] = []
    for at in sorted({*matched, *jobs}):
        job = jobs.get(at, {"sampled": 0, "scored": 0, "dead": 0, "skipped": {}})
        made.append(
            Coverage(
                project=project,
                evaluator=evaluator,
                window_start=at,
                matched=matched.get(at, 0),
                sampled=int(job["sampled"]),
                scored=int(job["scored"]),
                skipped={str(reason): int(n) for reason, n in job["skipped"].items()},
                dead=int(job["dead"]),
                computed_at=now,
            )
        )
    return made


def insert_coverage(client: Client, rows: list[Coverage]) -> None:
    """Keep it; the newest count of a window wins."""
    insert_rows(client, "eval_coverage", Coverage, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Sums over a time range, or one of its buckets (``bucket``: Unix seconds). ``pending`` are sampled and not ended."""

    evaluator: str
    bucket: int | None
    matched: int
    sampled: int
    scored: int
    skipped: dict[str, int]
    dead: int

    @property
    def pending(self) -> int:
        """Sampled calls that have not ended yet."""
        return self.sampled - self.scored - self.dead - sum(self.skipped.values())

    @property
    def share(self) -> float | None:
        """Scored calls of those that could have been; None for none."""
        return self.scored / self.matched if self.matched else None


def read_coverage(
    client: Client, project: str, window: Window, *, evaluator: str = "", step_s: int | None = None
) -> list[Covered]:
    """Coverage of each rule in the window, or of one; by bucket of ``step_s`` (a multiple of 300) where it is given."""
    bound: dict[str, Any] = {"project": project, "evaluator": evaluator, **window.bound()}
    bucket = "CAST(NULL, 'Nullable(UInt32)')"
    if step_s is not None:
        bucket, bound["step"] = (
            "toUnixTimestamp(toStartOfInterval(window_start, toIntervalSecond({step:UInt32}), 'UTC'))",
            step_s,
        )
    sql = statement(
        f"SELECT evaluator, {bucket} AS bucket, sum(eval_coverage.matched) AS matched_, sum(eval_coverage.sampled) AS sampled_,"
        " sum(eval_coverage.scored) AS scored_, sumMap(eval_coverage.skipped) AS skipped_, sum(eval_coverage.dead) AS dead_",
        "FROM eval_coverage FINAL WHERE project = {project:String} AND ({evaluator:String} = '' OR evaluator = {evaluator:String})",
        "AND window_start >= toDateTime(intDiv({start:Int64}, 1000000000), 'UTC')",
        "AND window_start < toDateTime(intDiv({end:Int64}, 1000000000), 'UTC')",
        "GROUP BY evaluator, bucket ORDER BY evaluator, bucket",
    )
    return [
        Covered(
            evaluator=row["evaluator"],
            bucket=None if row["bucket"] is None else int(row["bucket"]),
            matched=int(row["matched_"]),
            sampled=int(row["sampled_"]),
            scored=int(row["scored_"]),
            skipped={str(reason): int(n) for reason, n in row["skipped_"].items()},
            dead=int(row["dead_"]),
        )
        for row in ask(client, sql, bound)
    ]
