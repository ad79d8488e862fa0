"""What a unit of business cost: how many conversations, customers, and answers that a score calls resolved, by a dimension."""

from __future__ import annotations

from dataclasses import dataclass

from .asking import Client, ask, statement
from .window import IN_SPANS, IN_TIME, Window

BY = ("feature", "customer_id", "team")


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Counts of one group. ``resolved`` are traces whose score reached the least value asked for; None: not asked."""

    group: str
    calls: int
    conversations: int
    resolved: int | None


def units(
    client: Client,
    project: str,
    window: Window,
    by: str,
    *,
    score: str = "",
    least: float = 1.0,
    team: str | None = None,
) -> list[Units]:
    """Counts by ``by``, most calls first, at most 500 groups. Raises KeyError for an unknown dimension."""
    column = {name: name for name in BY}[by]
    parameters: dict[str, object] = {"project": project, "score": score, "least": least, **window.bound()}
    if team is not None:
        parameters["team"] = team
    resolved = "uniqExactIf(trace_id, good.trace_id != '')" if score else "0"
    sql = statement(
        f"SELECT {column} AS group_, count() AS calls_, uniqExactIf(session_id, session_id != '') AS conversations_,",
        f"{resolved} AS resolved_ FROM spans",
        _good() if score else "",
        f"WHERE spans.project = {{project:String}} AND billable AND purpose != 'eval' AND {IN_SPANS}",
        "AND team = {team:String}" if team is not None else "",
        "GROUP BY group_ ORDER BY calls_ DESC LIMIT 500",
    )
    return [
        Units(
            group=str(row["group_"]),
            calls=int(row["calls_"]),
            conversations=int(row["conversations_"]),
            resolved=int(row["resolved_"]) if score else None,
        )
        for row in ask(client, sql, parameters, {"max_execution_time": 60})
    ]


def _good() -> str:
    return (  # bound parameters and a condition of our own
        "LEFT ANY JOIN (SELECT DISTINCT trace_id FROM scores FINAL WHERE project = {project:String}"  # noqa: S608
        f" AND name = {{score:String}} AND status = 'ok' AND value >= {{least:Float64}} AND {IN_TIME.replace('time ', 'scores.time ')}"
        ") AS good ON spans.trace_id = good.trace_id"
    )
