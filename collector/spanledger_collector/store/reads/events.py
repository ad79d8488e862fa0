"""The audit trail: alerts, route switches, budget steps and changed documents of one project, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .asking import Client, ask, every, statement
from .window import IN_TIME, Window

_COLUMNS = (
    "event_id, toUnixTimestamp64Nano(timeline.time) AS time, kind, severity, subject, title, message, evidence,"
    " dedup_key, state, author"
)


# The answer's ``time`` is a number of nanoseconds; the condition is about the column.
_IN_TIMELINE = IN_TIME.replace("time ", "timeline.time ")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it stands; ``time`` in nanoseconds, ``evidence`` a JSON text."""

    event_id: str
    time: int
    kind: str
    severity: str
    subject: str
    title: str
    message: str
    evidence: str
    dedup_key: str
    state: str
    author: str


@dataclass(frozen=True, slots=True)
class EventAfter:
    """Where the page before ended; ``time`` in nanoseconds."""

    time: int
    event_id: str


_AFTER = (
    "timeline.time <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')"
    " AND (timeline.time < fromUnixTimestamp64Nano({after:Int64}, 'UTC') OR event_id > {after_id:String})"
)


def events(
    client: Client,
    project: str,
    window: Window,
    *,
    kinds: Sequence[str] = (),
    severity: str = "",
    subject: str = "",
    state: str = "",
    limit: int = 500,
    after: EventAfter | None = None,
) -> list[EventRow]:
    """Events of the window, newest first; empty filters keep everything."""
    where = ["project = {project:String}", _IN_TIMELINE]
    parameters: dict[str, object] = {"project": project, "limit": limit, **window.bound()}
    if kinds:
        where.append("kind IN {kinds:Array(String)}")
        parameters["kinds"] = list(kinds)
    if after:
        where.append(_AFTER)
        parameters |= {"after": after.time, "after_id": after.event_id}
    for column, value in (("severity", severity), ("subject", subject), ("state", state)):
        if value:
            where.append(f"{column} = {{{column}:String}}")
            parameters[column] = value
    sql = statement(
        f"SELECT {_COLUMNS} FROM timeline WHERE",  # noqa: S608
        every(where),
        "ORDER BY timeline.time DESC, event_id LIMIT {limit:UInt32}",
    )
    return [EventRow(**row) for row in ask(client, sql, parameters)]
