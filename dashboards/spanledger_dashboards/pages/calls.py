"""Calls: every call of the window, filtered, ordered, searched; a row leads to its trace."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping
from typing import Any

import dash_ag_grid as dag
from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import calls
from spanledger_dashboards.call_filter import FILTERS, filter_of, order_of
from spanledger_dashboards.here import read
from spanledger_dashboards.messages import excerpt
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import badge, empty, page_title
from spanledger_dashboards.text import NONE, count, duration, line, usd, when
from spanledger_dashboards.view import View

GRID = "calls-grid"
BLOCK = 100

_SELECTS = (
    ("status", "Status"),
    ("model", "Model"),
    ("team", "Team"),
    ("route", "Route"),
    ("cache", "Cache"),
)
_NUMBER = {"type": "rightAligned", "cellClass": "n"}


async def render(view: View) -> Component:
    """Filters, and a grid that fetches its rows as it is scrolled."""
    which = filter_of(view)
    total, choices = await gather(
        read(view, calls.count_calls, view.window, which),
        gather(*(read(view, calls.values, view.window, name) for name, _ in _SELECTS)),
    )
    controls = [
        filters.search(view, "q", "Words in the answer", "refund policy"),
        filters.select(view, "show", "Show", [("calls", "model calls"), ("roots", "traces"), ("all", "all spans")], "calls"),
        *(filters.select(view, name, label, values) for (name, label), values in zip(_SELECTS, choices, strict=True)),
        filters.search(view, "user_id", "User", "user id", 120),
        filters.search(view, "slower", "Slower than", "2 s, 800 ms", 110),
        filters.several(view, "columns", "Columns", [(column["field"], column.get("headerName", column["field"].capitalize())) for column in COLUMNS[1:]], SHOWN),
    ]  # fmt: skip
    others = [badge(f"{name} = {line(value, 40)}", "blue") for name, value in _unseen(view)]
    return html.Div(
        [
            page_title("Calls", "Each call with what it took and cost. Open one to see its trace, prompt and answer.",
                       html.A("Download CSV", href=view.href("/export/calls.csv", **dict(view.filters)), className="button", download="calls.csv")),
            filters.bar(view, *controls),
            html.Div([html.Strong(count(total)), " spans match" if which.show == "all" else " calls match", *others], className="summary", role="status"),
            _grid(view) if total else _none(view),
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/calls", "Calls", render, "Trace")


def _unseen(view: View) -> list[tuple[str, str]]:
    """Filters in the address that have no control of their own here."""
    shown = {"q", "show", "columns", "user_id", "slower", "order", "way", *(name for name, _ in _SELECTS)}
    return [(name, value) for name, value in view.filters.items() if name in FILTERS and name not in shown]


def _none(view: View) -> Component:
    if view.filters:
        return empty("No call matches", "Remove a filter, or widen the time range above.")
    return empty(
        "No calls in this time range",
        "Widen the time range above, or send a call: point any OpenAI client at the gateway.",
        "client = OpenAI(base_url='http://127.0.0.1:4000/v1', api_key='sl_...')",
    )


COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "time", "headerName": "Time (UTC)", "colId": "start_time", "width": 172, "cellRenderer": "CallLink", "pinned": "left"},
    {"field": "status", "width": 88, "cellRenderer": "StatusBadge"},
    {"field": "model", "width": 168},
    {"field": "duration", "headerName": "Took", "colId": "duration_ns", "width": 94, **_NUMBER},
    {"field": "ttft", "headerName": "First token", "colId": "ttft_ns", "width": 108, **_NUMBER},
    {"field": "tokens", "width": 88, **_NUMBER},
    {"field": "cost", "colId": "cost_total", "width": 100, **_NUMBER},
    {"field": "served", "headerName": "Served by", "sortable": False, "width": 128},
    {"field": "answer", "headerName": "Answer", "sortable": False, "flex": 1, "minWidth": 230, "cellClass": "quiet"},
    {"field": "team", "width": 104},
    {"field": "user_id", "headerName": "User", "width": 110},
    {"field": "route", "width": 120},
    {"field": "name", "headerName": "Span", "width": 190},
    {"field": "session_id", "headerName": "Session", "width": 130},
    {"field": "feature", "width": 110},
    {"field": "customer_id", "headerName": "Customer", "width": 110},
    {"field": "provider", "width": 100},
    {"field": "finish_reason", "headerName": "Finished", "width": 100},
    {"field": "prompt", "headerName": "Prompt", "sortable": False, "width": 130},
    {"field": "tags", "headerName": "Tags", "sortable": False, "width": 140},
)  # fmt: skip
"""What the grid can show; those of ``SHOWN`` until somebody chooses."""

SHOWN = (
    "status",
    "model",
    "duration",
    "ttft",
    "tokens",
    "cost",
    "served",
    "answer",
    "team",
    "user_id",
    "route",
    "name",
)


def chosen(view: View) -> list[dict[str, Any]]:
    """The columns that the address names, in the order of ``COLUMNS``; time is always there."""
    asked = {name for name in view.get("columns").split(",") if name} or set(SHOWN)
    return [dict(column) for column in COLUMNS if column["field"] == "time" or column["field"] in asked]


def _grid(view: View) -> Component:
    order, descending = order_of(view)
    columns = chosen(view)
    for column in columns:
        if column.get("colId", column["field"]) == order:
            column["sort"] = "desc" if descending else "asc"
    return dag.AgGrid(
        id=GRID,
        columnDefs=columns,
        defaultColDef={"sortable": True, "resizable": True, "sortingOrder": ["desc", "asc"], "suppressMovable": False},
        rowModelType="infinite",
        dashGridOptions={
            "cacheBlockSize": BLOCK, "maxBlocksInCache": 10, "rowBuffer": 0, "rowHeight": 34, "headerHeight": 36,
            "suppressCellFocus": False, "enableCellTextSelection": True, "animateRows": False,
        },
        className="ledger-grid",
        style={"height": "calc(100vh - 300px)", "minHeight": "420px"},
    )  # fmt: skip


def lines(rows: list[dict[str, Any]], view: View) -> list[dict[str, Any]]:
    """Rows of the store as rows of the grid: every cell a text."""
    return [_line(row, view) for row in rows]


def _line(row: Mapping[str, Any], view: View) -> dict[str, Any]:
    return {
        "href": view.href(f"/traces/{row['trace']}", span=row["span"]),
        "time": when(row["start_ns"]),
        "status": row["status"],
        "name": line(row["name"], 60),
        "model": line(row["model"], 60) or NONE,
        "duration": duration(row["duration_ns"]),
        "ttft": duration(row["ttft_ns"]) if row["ttft_ns"] is not None else "",
        "tokens": count(row["tokens"]) if row["tokens"] is not None else "",
        "cost": cost_text(row),
        "answer": line(
            row["status_message"] if row["status"] == "error" else excerpt(row["output_start"]), 160
        ),
        "team": line(row["team"], 40),
        "user_id": line(row["user_id"], 40),
        "route": line(row["route"], 40),
        "served": served(row),
        "session_id": line(row["session_id"], 40),
        "feature": line(row["feature"], 40),
        "customer_id": line(row["customer_id"], 40),
        "provider": line(row["provider"], 40),
        "finish_reason": line(row["finish_reason"], 40),
        "prompt": prompt_text(row),
        "tags": ", ".join(line(tag, 30) for tag in row["tags"]),
    }


def prompt_text(row: Mapping[str, Any]) -> str:
    """The release a call was made with."""
    return f"{line(row['prompt_name'], 40)} v{row['prompt_version']}" if row["prompt_name"] else ""


def cost_text(row: Mapping[str, Any]) -> str:
    """A call's cost; what is billable without a price says so."""
    if not row["billable"]:
        return ""
    return "unpriced" if row["cost_total"] is None else usd(row["cost_total"])


def served(row: Mapping[str, Any]) -> str:
    """Who answered: the cache, a fallback, or an upstream."""
    if row["cache"] in ("exact", "semantic"):
        return f"cache ({row['cache']})"
    upstream = line(row["upstream"], 40)
    return f"{upstream} (fallback)" if row["fallback_from"] else upstream
