"""Corrected prices of calls, joined to the calls: the newest figure of each, or the newest known before a day."""

from __future__ import annotations

from .asking import Client, ask
from .window import IN_SPANS, Window

COSTS = ("cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_reasoning", "cost_other")
"""What a call cost by what it was for."""


def newest_prices(changed: str = "") -> str:
    """The join that gives each span of the window its newest corrected price, as ``fixed``."""
    newest = ", ".join(f"argMax(tuple({name}), repricings.time).1 AS {name}" for name in ("new_cost", *COSTS))
    return (
        f"LEFT ANY JOIN (SELECT trace_id, span_id, true AS found, {newest} FROM repricings"  # noqa: S608
        " WHERE project = {project:String} AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC')"
        f" AND start_time < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC') {changed} GROUP BY trace_id, span_id) AS fixed"
        " ON spans.trace_id = fixed.trace_id AND spans.span_id = fixed.span_id"
    )


def has_repricings(client: Client, project: str, window: Window) -> bool:
    """Whether any call of the window was repriced: the join that this needs costs."""
    sql = f"SELECT 1 AS one FROM repricings WHERE project = {{project:String}} AND {IN_SPANS} LIMIT 1"  # noqa: S608
    return bool(ask(client, sql, {"project": project, **window.bound()}))
