"""A tree of spans in, a waterfall out: one row a span with its time, tokens and cost; a row leads to the span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from spanledger_dashboards.colours import GREY, OPERATION, RED
from spanledger_dashboards.parts.aria import aria
from spanledger_dashboards.parts.basic import Child, badge
from spanledger_dashboards.text import count, duration, line, usd
from spanledger_dashboards.tree import Line, Tree

_TOKEN_COLUMNS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens",
)  # fmt: skip


def waterfall(tree: Tree, chosen: str, href: Callable[[str], str]) -> Component:
    """Rows in drawing order; ``chosen`` is the span shown below, ``href`` gives a span's address."""
    marks = [
        html.Span(duration(tree.length * share) if share else "0", style={"left": f"{share * 100}%"})
        for share in (0, 0.25, 0.5, 0.75)
    ]
    ruler = html.Div([html.Span("Span"), html.Span(marks, className="ruler"), html.Span("Time", className="n"),
                      html.Span("Tokens", className="n"), html.Span("Cost", className="n")], className="wf-row wf-head")  # fmt: skip
    rows = [_row(item, item.span["span"] == chosen, href(item.span["span"])) for item in tree.lines]
    return html.Div([ruler, *rows], className="waterfall", role="list", **aria("Spans of this trace"))


def tokens(span: Mapping[str, Any]) -> int | None:
    """All tokens of a span; None when it has no usage."""
    known = [span[name] for name in _TOKEN_COLUMNS if span.get(name) is not None]
    return sum(known) if known else None


def _row(item: Line, chosen: bool, href: str) -> Component:
    span = item.span
    colour = RED if span["status"] == "error" else OPERATION.get(span["operation"], GREY)
    left, width = min(item.left, 0.998) * 100, max(min(item.width, 1 - item.left), 0.002) * 100
    bars = [
        html.Span(
            className="wf-bar", style={"left": f"{left:.3f}%", "width": f"{width:.3f}%", "background": colour}
        )
    ]
    if span.get("ttft_ns") and span["duration_ns"]:
        at = left + width * min(1.0, span["ttft_ns"] / span["duration_ns"])
        bars.append(html.Span(className="wf-ttft", style={"left": f"{at:.3f}%"}, title="first token"))
    name = [
        html.Span(className="dot", style={"background": colour}),
        line(span["name"], 80),
        *_notes(span, item.orphan),
    ]
    cells: list[Child] = [
        html.Span(name, className="wf-name", style={"paddingLeft": f"{8 + min(item.depth, 12) * 14}px"}),
        html.Span(bars, className="wf-bars"),
        html.Span(duration(span["duration_ns"]), className="n"),
        html.Span(count(tokens(span)) if tokens(span) is not None else "", className="n"),
        html.Span(usd(span["cost_total"]) if span["billable"] else "", className="n"),
    ]
    row = dcc.Link(cells, href=href, className="wf-row chosen" if chosen else "wf-row")
    return html.Div(row, role="listitem")


def _notes(span: Mapping[str, Any], orphan: bool) -> list[Component]:
    notes: list[Component] = []
    if span["model"]:
        notes.append(html.Span(line(span["model"], 40), className="about"))
    if span["cache"] in ("exact", "semantic"):
        notes.append(badge(f"cache {span['cache']}", "green"))
    if span["fallback_from"]:
        notes.append(badge("fallback", "amber", f"instead of {line(span['fallback_from'], 60)}"))
    if span["status"] != "ok":
        notes.append(
            badge(
                span["status"],
                "red" if span["status"] == "error" else "amber",
                line(span["status_message"], 200),
            )
        )
    if orphan:
        notes.append(badge("parent missing", "grey", "Its parent span has not been recorded, or not yet."))
    return notes
