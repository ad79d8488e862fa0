"""What scores are about: ids of spans and traces in, when they began and where they went out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .asking import Client, ask

_SPANS = """
SELECT lower(hex(spans.trace_id)) AS trace, lower(hex(spans.span_id)) AS span,
    toUnixTimestamp64Nano(spans.start_time) AS start, route, upstream, request_model
FROM spans
WHERE project = {project:String}
    AND spans.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
ORDER BY start LIMIT 50000
"""

_TIMES = """
SELECT score_id, min(toUnixTimestamp64Nano(scores.time)) AS time FROM scores
WHERE project = {project:String} AND score_id IN {ids:Array(String)}
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
GROUP BY score_id
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A span, or a trace by its first span; ``start`` in nanoseconds."""

    start: int
    route: str = ""
    upstream: str = ""
    request_model: str = ""


def subjects(client: Client, project: str, traces: Sequence[str]) -> dict[tuple[str, str], Subject]:
    """By trace and span id in hex; the empty span id is the trace. Absent when no such span is stored."""
    found: dict[tuple[str, str], Subject] = {}
    for row in ask(client, _SPANS, {"project": project, "traces": list(traces)}):
        subject = Subject(row["start"], row["route"], row["upstream"], row["request_model"])
        found[row["trace"], row["span"]] = subject
        found.setdefault((row["trace"], ""), subject)
    return found


def known_times(client: Client, project: str, traces: Sequence[str], ids: Sequence[str]) -> dict[str, int]:
    """The time each score was stored under, by score id: stored under another it would be another score."""
    rows = ask(client, _TIMES, {"project": project, "traces": list(traces), "ids": list(ids)})
    return {row["score_id"]: row["time"] for row in rows}
