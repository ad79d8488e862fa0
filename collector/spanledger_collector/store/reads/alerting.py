"""What alert rules and the outbox ask of the store: a metric over a window, and alerts not sent yet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .asking import Client, ask, every, statement
from .spend import DIMENSIONS as SPEND_DIMENSIONS
from .window import Window, bucket

SCORE = "score:"
DIMENSIONS = {
    **SPEND_DIMENSIONS,
    "request_model": "request_model",
    "session_id": "session_id",
    "tool_name": "tool_name",
}
"""What an alert can be scoped by and split by, and the expression over ``spans`` for each."""

_OF_SCORES = ("route", "upstream", "request_model", "evaluator", "judge_id")
_ANSWERED = "status = 'ok'"
_METRICS: dict[str, tuple[str, str]] = {
    "calls": ("count()", "count()"),
    "errors": ("countIf(status = 'error')", "count()"),
    "error_rate": ("countIf(status = 'error') / count()", "count()"),
    "cut_rate": ("countIf(status = 'cut') / count()", "count()"),
    "cost_usd": ("sum(toDecimal128(ifNull(cost_total, 0), 9))", "count()"),
    "cost_per_call_usd": ("avgIf(toFloat64(ifNull(cost_total, 0)), cost_total IS NOT NULL)", "countIf(cost_total IS NOT NULL)"),
    "unpriced": ("countIf(cost_total IS NULL)", "count()"),
    "input_tokens": ("sum(toUInt64(ifNull(spans.input_tokens, 0)) + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0))", "count()"),
    "output_tokens": ("sum(toUInt64(ifNull(spans.output_tokens, 0)) + ifNull(reasoning_tokens, 0))", "count()"),
    "cache_hit_rate": ("countIf(cache IN ('exact', 'semantic')) / count()", "count()"),
    "redactions": ("sum(spans.redactions)", "count()"),
    **{
        f"latency_p{level}_s": (f"quantileIf({level / 100})(duration_ns, {_ANSWERED}) / 1e9", f"countIf({_ANSWERED})")
        for level in (50, 75, 90, 95, 99)
    },
    **{
        f"ttft_p{level}_s": (f"quantileIf({level / 100})(ifNull(ttft_ns, 0), ttft_ns IS NOT NULL) / 1e9", "countIf(ttft_ns IS NOT NULL)")
        for level in (50, 75, 90, 95, 99)
    },
}  # fmt: skip
METRICS = tuple(_METRICS)
"""Every metric of traffic; besides, ``score:NAME`` is the mean of a score."""

SUMS = frozenset({"calls", "errors", "cost_usd", "unpriced", "input_tokens", "output_tokens", "redactions"})
"""Metrics that are 0, and not unknown, where there were no calls."""

# Attempts at providers and direct calls, of applications; a repeat of the same call is not billable.
_CALLS = ("project = {project:String}", "start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')",
    "(billable OR attempt > 0)", "purpose = ''")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric's value over ``samples`` calls or scores of one group; NaN for none."""

    group: tuple[str, ...]
    value: float
    samples: int


def measure(
    client: Client,
    *,
    project: str,
    metric: str,
    scope: Mapping[str, str],
    by: Sequence[str],
    since: int,
    limit: int = 1000,
) -> list[Measured]:
    """A metric since then (ns) within the scope, split by dimensions; the groups with most samples.

    Without a split there is exactly one group. Raises ValueError for a metric or dimension that there is not.
    """
    _check(metric, [*scope, *by])
    sql = _score_sql(scope, by) if metric.startswith(SCORE) else _traffic_sql(metric, scope, by)
    bound: dict[str, Any] = {
        "project": project,
        "since": since,
        "limit": limit,
        "name": metric.removeprefix(SCORE),
    }
    bound |= {f"only_{name}": value for name, value in scope.items()}
    return [
        Measured(
            group=tuple(str(row[f"by_{name}"]) for name in by),
            value=math.nan if row["value"] is None else float(row["value"]),
            samples=int(row["samples"]),
        )
        for row in ask(client, sql, bound)
    ]


def measured_over(
    client: Client, project: str, window: Window, *, metric: str, scope: Mapping[str, str], step_s: int
) -> dict[int, Measured]:
    """The same by bucket of time (start in Unix seconds): what a rule over ``step_s`` would have seen.

    Buckets without a sample are absent. Raises ValueError for a metric or dimension that there is not.
    """
    _check(metric, list(scope))
    if metric.startswith(SCORE):
        sql = _score_sql(scope, (), _started("scores.time"), _UNTIL.replace("{time}", "time"))
    else:
        sql = _traffic_sql(metric, scope, (), _started("start_time"), _UNTIL.replace("{time}", "start_time"))
    bound: dict[str, Any] = {"project": project, "since": window.start, "until": window.end, "step": step_s}
    bound |= {"limit": 100_000, "name": metric.removeprefix(SCORE)}
    bound |= {f"only_{name}": value for name, value in scope.items()}
    return {
        int(row["bucket"]): Measured(
            group=(),
            value=math.nan if row["value"] is None else float(row["value"]),
            samples=int(row["samples"]),
        )
        for row in ask(client, sql, bound)
    }


_UNTIL = "{time} < fromUnixTimestamp64Nano({until:Int64}, 'UTC')"


def _started(time: str) -> str:
    return f"{bucket(time)} AS bucket"


def dimensions_of(metric: str) -> tuple[str, ...]:
    """What an alert on a metric can be scoped by and split by."""
    return tuple(sorted({*DIMENSIONS, *_OF_SCORES} if metric.startswith(SCORE) else DIMENSIONS))


def _check(metric: str, dimensions: Sequence[str]) -> None:
    known = dimensions_of(metric)
    unknown = sorted(set(dimensions) - set(known))
    if unknown:
        raise ValueError(f"there is no dimension {', '.join(unknown)}; known: {', '.join(known)}")
    if not metric.startswith(SCORE) and metric not in _METRICS:
        raise ValueError(f"there is no metric {metric!r}; known: {', '.join(METRICS)}, {SCORE}<name>")


def _traffic_sql(
    metric: str, scope: Mapping[str, str], by: Sequence[str], bucket: str = "", until: str = ""
) -> str:
    value, samples = _METRICS[metric]
    only = [f"{DIMENSIONS[name]} = {{only_{name}:String}}" for name in scope]
    where = [*_CALLS, *([until] if until else ()), *only]
    groups = [*([bucket] if bucket else ()), *(f"{DIMENSIONS[name]} AS by_{name}" for name in by)]
    return _grouped(groups, value, samples, "spans", where)


def _score_sql(scope: Mapping[str, str], by: Sequence[str], bucket: str = "", until: str = "") -> str:
    """From the scores alone where they hold the dimensions, else joined with the calls they are about."""
    of_calls = sorted({*scope, *by} - set(_OF_SCORES))
    where = ["project = {project:String}", "name = {name:String}", "status = 'ok'", "value IS NOT NULL",
        "time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')", *([until] if until else ())]  # fmt: skip
    table = f"(SELECT trace_id, span_id, time, value, {', '.join(_OF_SCORES)} FROM scores FINAL WHERE {every(where)}) AS scores"  # noqa: S608
    if of_calls:
        columns = ", ".join(f"{DIMENSIONS[name]} AS call_{name}" for name in of_calls)
        calls = "start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND project = {project:String}"
        joined = f"(SELECT trace_id, toString(span_id) AS span, {columns} FROM spans WHERE {calls}) AS calls"  # noqa: S608
        table = (
            f"{table} INNER JOIN {joined} ON scores.trace_id = calls.trace_id AND scores.span_id = calls.span"
        )

    def place(name: str) -> str:
        return f"scores.{name}" if name in _OF_SCORES else f"calls.call_{name}"

    only = [f"{place(name)} = {{only_{name}:String}}" for name in scope]
    groups = [*([bucket] if bucket else ()), *(f"{place(name)} AS by_{name}" for name in by)]
    return _grouped(groups, "avg(scores.value)", "count()", table, only)


def _grouped(groups: Sequence[str], value: str, samples: str, table: str, where: Sequence[str]) -> str:
    names = [group.rsplit(" AS ", 1)[1] for group in groups]
    return statement(
        f"SELECT {', '.join([*groups, f'{value} AS value', f'{samples} AS samples'])} FROM {table}",  # noqa: S608
        f"WHERE {every(where)}" if where else "",
        f"GROUP BY {', '.join(names)}" if names else "",
        "ORDER BY samples DESC LIMIT {limit:UInt32}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One alert as it stands in ``events``; ``time`` in ns."""

    project: str
    event_id: str
    time: int
    severity: str
    subject: str
    title: str
    message: str
    evidence: str
    dedup_key: str
    state: str


_ALERTS = """
SELECT project, event_id, toUnixTimestamp64Nano(events.time) AS time, severity, subject, title, message, evidence,
    dedup_key, state
FROM events WHERE kind = 'alert' AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND (events.time, event_id) > (fromUnixTimestamp64Nano({after:Int64}, 'UTC'), {after_id:String})
ORDER BY events.time, event_id LIMIT 1 BY project, event_id LIMIT {limit:UInt32}
"""


def alerts_since(
    client: Client, *, since: int, after: tuple[int, str] = (0, ""), limit: int = 1000
) -> list[PendingAlert]:
    """A page of the alerts of every project since then (ns), oldest first, each once; ``after``: where the last ended."""
    bound = {"since": since, "after": after[0], "after_id": after[1], "limit": limit}
    return [PendingAlert(**row) for row in ask(client, _ALERTS, bound)]


_DELIVERIES = """
SELECT DISTINCT subject, dedup_key FROM events
WHERE kind = 'delivery' AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
"""


def deliveries_since(client: Client, *, since: int) -> set[tuple[str, str]]:
    """Pairs of channel and alert id that were sent, silenced, or given up, since then (ns)."""
    rows = ask(client, _DELIVERIES, {"since": since})
    return {(str(row["subject"]), str(row["dedup_key"])) for row in rows}


_QUIET = """
SELECT project, dedup_key, argMax(state, events.time) AS state, argMax(author, events.time) AS author,
    argMax(message, events.time) AS message, argMax(evidence, events.time) AS evidence,
    toUnixTimestamp64Nano(max(events.time)) AS time
FROM events WHERE kind = 'silence' AND {whose} AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
GROUP BY project, dedup_key ORDER BY project, dedup_key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """What a person last said about an alert: ``silenced`` (until a moment), ``acknowledged`` or ``unsilenced``.

    ``dedup_key`` is an alert's; one that ends in ``*`` stands for all that begin so. ``until`` and ``time`` in ns.
    """

    project: str
    dedup_key: str
    state: str
    author: str
    message: str
    until: int
    time: int

    def covers(self, project: str, dedup_key: str) -> bool:
        """Whether it is about that alert."""
        begins = self.dedup_key.removesuffix("*")
        same = dedup_key == begins or (self.dedup_key.endswith("*") and dedup_key.startswith(begins))
        return project == self.project and same


def quiet_since(client: Client, *, since: int) -> list[Quiet]:
    """What was last said of each alert since then (ns), in every project."""
    return _quiet(client, "1", {"since": since})


def quiet_of(client: Client, project: str, *, since: int) -> list[Quiet]:
    """As ``quiet_since``, of one project."""
    return _quiet(client, "project = {project:String}", {"since": since, "project": project})


def _quiet(client: Client, whose: str, bound: dict[str, object]) -> list[Quiet]:
    found: list[Quiet] = []
    for row in ask(client, _QUIET.replace("{whose}", whose), bound):
        told: dict[str, Any] = json.loads(row.pop("evidence") or "{}")
        found.append(Quiet(**row, until=int(told.get("until", 0))))
    return found
