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

_IN_SCORES = IN_TIME.replace("time ", "scores.time ")


@dataclass(frozen=True, slots=True)
class ScoreFilter:
    """Which scores; an empty field keeps all. ``trace`` is 32 hex digits."""

    name: str = ""
    status: str = ""
    source: str = ""
    route: str = ""
    evaluator: str = ""
    trace: str = ""


def scores(
    client: Client, project: str, window: Window, which: ScoreFilter, *, limit: int = 100
) -> list[Row]:
    """Lines of the window, newest first; times in nanoseconds, ids in hex."""
    where = ["project = {project:String}", _IN_SCORES]
    parameters: dict[str, object] = {"project": project, "limit": limit, **window.bound()}
    for column in ("name", "status", "source", "route", "evaluator"):
        if value := getattr(which, column):
            where.append(f"{column} = {{{column}:String}}")
            parameters[column] = value
    if which.trace:
        where.append("scores.trace_id = unhex({trace:String})")
        parameters["trace"] = which.trace
    sql = statement(
        f"SELECT {_LINE} FROM scores FINAL WHERE",  # noqa: S608
        every(where),
        "ORDER BY scores.time DESC, score_id LIMIT {limit:UInt32}",
    )
    return ask(client, sql, parameters)
