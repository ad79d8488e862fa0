"""Scores of a window, newest first, as they stand after corrections."""

from __future__ import annotations

from dataclasses import dataclass

from .asking import Client, Row, ask, every, statement
from .window import IN_TIME, Window

_LINE = """
    score_id, lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id, name, value, label, explanation,
    status, source, scorer, scorer_version, judge_id, higher_is_better, evaluator, sample_rate, cost, author,
    toUnixTimestamp64Nano(scores.time) AS time, toUnixTimestamp64Nano(scores.created_at) AS created_at,
    route, upstream, request_model
"""

_EXACT = ("name", "status", "source", "route", "evaluator", "author")
_IN_SCORES = IN_TIME.replace("time ", "scores.time ")


_AFTER = (
    "scores.time <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')"
    " AND (scores.time < fromUnixTimestamp64Nano({after:Int64}, 'UTC') OR score_id > {after_id:String})"
)


@dataclass(frozen=True, slots=True)
class ScoreFilter:
    """Which scores; an empty field keeps all. ``trace`` is 32 hex digits."""

    name: str = ""
    status: str = ""
    source: str = ""
    route: str = ""
    evaluator: str = ""
    author: str = ""
    trace: str = ""
    min_value: float | None = None
    max_value: float | None = None

    def where(self) -> tuple[list[str], dict[str, object]]:
        """Conditions, the window's among them, and their parameters but the window's."""
        conditions = [_IN_SCORES]
        parameters: dict[str, object] = {}
        for column in _EXACT:
            if value := getattr(self, column):
                conditions.append(f"{column} = {{{column}:String}}")
                parameters[column] = value
        for name, test, value in (
            ("trace", "scores.trace_id = unhex({trace:String})", self.trace or None),
            ("min_value", "value >= {min_value:Float64}", self.min_value),
            ("max_value", "value <= {max_value:Float64}", self.max_value),
        ):
            if value is not None:
                conditions.append(test)
                parameters[name] = value
        return conditions, parameters


@dataclass(frozen=True, slots=True)
class ScoreAfter:
    """Where the page before ended; ``time`` in nanoseconds."""

    time: int
    score_id: str


def scores(
    client: Client,
    project: str,
    window: Window,
    which: ScoreFilter,
    *,
    limit: int = 100,
    after: ScoreAfter | None = None,
) -> list[Row]:
    """Lines of the window, newest first; times in nanoseconds, ids in hex."""
    conditions, parameters = which.where()
    if after:
        conditions.append(_AFTER)
        parameters |= {"after": after.time, "after_id": after.score_id}
    sql = statement(
        f"SELECT {_LINE} FROM scores FINAL WHERE",  # noqa: S608
        every(["project = {project:String}", *conditions]),
        "ORDER BY scores.time DESC, score_id LIMIT {limit:UInt32}",
    )
    return ask(client, sql, {**parameters, "project": project, "limit": limit, **window.bound()})
