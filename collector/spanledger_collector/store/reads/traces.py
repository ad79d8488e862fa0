"""A trace id in; its spans as lines, one span as a full record, and their scores out."""

from __future__ import annotations

from . import newest
from .asking import Client, Row, ask
from .spend import MODEL

MAX_SPANS = 2000
"""A longer trace is cut; the reader is told by getting exactly this many lines."""

_LINE = f"""
    lower(hex(span_id)) AS span, lower(hex(parent_span_id)) AS parent,
    toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, ttft_ns, name, operation, kind, status,
    status_message, error_type, provider, {MODEL} AS model, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_total, cost_saved, billable, billable_reason,
    cache, route, upstream, attempt, fallback_from, route_reason, purpose, service, tool_name, agent_name
"""

_TRACE = f"""
SELECT {_LINE} FROM spans WHERE project = {{project:String}} AND trace_id = unhex({{trace:String}})
ORDER BY start_time, span_id LIMIT {MAX_SPANS}
"""  # noqa: S608

_SPAN = """
SELECT * EXCEPT (trace_id, span_id, parent_span_id, start_time),
    lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    lower(hex(spans.parent_span_id)) AS parent_span_id, toUnixTimestamp64Nano(spans.start_time) AS start_time
FROM spans WHERE project = {project:String} AND spans.trace_id = unhex({trace:String})
    AND spans.span_id = unhex({span:String})
LIMIT 1
"""

_SCORES = """
SELECT lower(hex(span_id)) AS span, name, value, label, explanation, status, source, scorer, scorer_version,
    judge_id, higher_is_better, evaluator, cost, author, toUnixTimestamp64Nano(created_at) AS created_ns
FROM scores FINAL WHERE project = {project:String} AND trace_id = unhex({trace:String})
ORDER BY name, created_at
"""


def trace(client: Client, project: str, trace_id: str) -> list[Row]:
    """The spans of a trace in order of time, without content; ``trace_id`` is 32 hex digits."""
    rows = ask(client, _TRACE, {"project": project, "trace": trace_id})
    newest.show(client, project, rows, trace_id.lower())
    return rows


def span(client: Client, project: str, trace_id: str, span_id: str) -> Row | None:
    """One full record, ids in hex and ``start_time`` in nanoseconds; None when there is no such span.

    Its cost is what is known now; ``repricings`` are its corrections and ``list_cost`` a vendor's price of a GPU call.
    """
    rows = ask(client, _SPAN, {"project": project, "trace": trace_id, "span": span_id})
    if not rows:
        return None
    if rows[0]["billable"]:
        newest.correct(client, project, rows[0])
    return rows[0]


def trace_scores(client: Client, project: str, trace_id: str) -> list[Row]:
    """Every score about the trace or a span of it; ``span`` is empty for the whole trace."""
    return ask(client, _SCORES, {"project": project, "trace": trace_id})
