"""One trace: its spans as a waterfall, and one span with its conversation, cost, scores and how it was served."""

from __future__ import annotations

import re
from asyncio import gather
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import traces
from spanledger_dashboards.here import read
from spanledger_dashboards.messages import messages, sources
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import acting
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    empty,
    link,
    notice,
    page_title,
    panel,
    stat,
    stats,
    status,
)
from spanledger_dashboards.parts.chat import block, conversation, retrieved
from spanledger_dashboards.parts.span import cost_panel, facts_panel, scores_panel, serving_panel
from spanledger_dashboards.parts.waterfall import tokens, waterfall
from spanledger_dashboards.text import NONE, count, duration, line, usd, usd_exact, when
from spanledger_dashboards.tree import tree
from spanledger_dashboards.view import View

_TRACE = re.compile(r"[0-9a-f]{32}")
_SPAN = re.compile(r"[0-9a-f]{16}")


async def render(view: View) -> Component:
    """The whole trace; below it the span in the address, or the one most worth looking at."""
    trace_id = view.get("trace_id").lower()
    spans = await read(view, traces.trace, trace_id) if _TRACE.fullmatch(trace_id) else []
    if not spans:
        return html.Div([page_title("Trace", trace_id[:64]), _unknown()], className="page")
    chosen = _chosen(spans, view.get("span"))
    record, scores = await gather(
        read(view, traces.span, trace_id, chosen), read(view, traces.trace_scores, trace_id)
    )
    drawn = tree(spans)
    root = drawn.lines[0].span
    many = (
        [notice(f"This trace has more than {traces.MAX_SPANS:,} spans; the first are shown.", "amber")]
        if len(spans) >= traces.MAX_SPANS
        else []
    )
    return html.Div(
        [
            page_title(line(root["name"], 100), f"Trace {trace_id} · {when(drawn.start)} UTC",
                       link("Its calls", view.href("/calls", trace=trace_id, show="all"))),
            _numbers(spans, drawn.length),
            *many,
            panel("Spans", waterfall(drawn, chosen, lambda span: view.href(span=span)), about="where the time and the money went", wide=True),
            *(_span(view, record, scores) if record else []),
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/traces/<trace_id>", "Trace", render)


def _unknown() -> Component:
    return empty(
        "No such trace in this project",
        "It may belong to another project, may not have arrived yet (a few seconds), or its retention has ended.",
    )


def _chosen(spans: Sequence[Mapping[str, Any]], asked: str) -> str:
    """The span asked for; else a failed model call, the dearest one, or the root."""
    if any(span["span"] == asked for span in spans):
        return asked
    model_calls = (
        [span for span in spans if span["billable"]] or [span for span in spans if span["operation"]] or spans
    )
    best = max(
        model_calls,
        key=lambda span: (span["status"] == "error", span["cost_total"] or 0, span["duration_ns"]),
    )
    return str(best["span"])


def _numbers(spans: Sequence[Mapping[str, Any]], length: int) -> Component:
    billed = [span for span in spans if span["billable"]]
    costs = [span["cost_total"] for span in billed]
    known: list[Decimal] = [cost for cost in costs if cost is not None]
    total = sum(known, start=Decimal(0)) if known else None
    failed = sum(span["status"] == "error" for span in spans)
    used = [tokens(span) or 0 for span in billed]
    return stats(
        stat("Time", duration(length)),
        stat("Spans", count(len(spans)), about=f"{len(billed)} billable model call{'s' if len(billed) != 1 else ''}"),
        stat("Tokens", count(sum(used)) if billed else NONE),
        stat("Cost", usd(total), title=usd_exact(total), about=f"{len(costs) - len(known)} unpriced" if len(known) < len(costs) else "leaf calls only"),
        stat("Failed spans", count(failed), tone="red" if failed else ""),
    )  # fmt: skip


def _span(view: View, record: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> list[Component]:
    about: list[Child] = [
        status(record["status"], line(record["status_message"], 200)),
        badge(record["operation"] or record["kind"], "blue"),
    ]
    if record["status_message"]:
        about.append(html.Span(line(record["status_message"], 240), className="bad"))
    raw = html.A(
        "Raw record",
        href=view.href(f"/export/spans/{record['trace_id']}/{record['span_id']}.json"),
        className="button",
        download=f"{record['span_id']}.json",
    )
    again = (
        [
            html.A(
                "Replay",
                href=view.href("/playground", trace=str(record["trace_id"]), span=str(record["span_id"])),
                className="button",
            )
        ]
        if record["input"] and record["operation"] in ("chat", "generate_content", "text_completion")
        else []
    )
    head = html.Div(
        [html.H2(line(record["name"], 100), id="span"), *about, raw, *again], className="span-head"
    )
    rendered = view.get("as") == "markdown"
    other = (
        link("Show as text", view.href(as_=None))
        if rendered
        else link("Show as Markdown", view.href(as_="markdown"))
    )
    content = [
        panel("Input", _content(record["input"], "user", rendered), actions=other),
        panel("Output", _content(record["output"], "assistant", rendered), actions=other),
    ]
    if record["documents"]:
        content.append(
            panel(
                "Retrieved sources",
                retrieved(sources(record["documents"])),
                about="what the answer could stand on",
            )
        )
    mine = [score for score in scores if score["span"] in ("", record["span_id"])]
    side = [
        scores_panel(view, mine),
        *_say_panel(view, record),
        cost_panel(record),
        serving_panel(view, record),
        facts_panel(view, record),
    ]
    return [head, html.Div([html.Div(content, className="main-column"), html.Div(side, className="side-column")], className="two-columns")]  # fmt: skip


def _say_panel(view: View, record: Mapping[str, Any]) -> list[Component]:
    """What a person may say of the span: a verdict, and that it belongs into a dataset."""
    of = {"trace": str(record["trace_id"]), "span": str(record["span_id"])}
    verdict = acting.button(
        view, "verdict", "Say so", of,
        acting.text_field("verdict", "name", "Score", of, value="helpful", width=120),
        acting.choice_field("verdict", "verdict", "Verdict", ["pass", "fail"], of),
        acting.text_field("verdict", "why", "Why", of),
    )  # fmt: skip
    mark = acting.button(
        view, "mark", "Add to dataset", of,
        acting.text_field("mark", "dataset", "Dataset", of, width=120),
        acting.text_field("mark", "reference", "The answer should have been", of, width=220),
    )  # fmt: skip
    return [panel("Your verdict", [verdict, mark])] if verdict and mark else []


def _content(recorded: str, role: str, as_markdown: bool) -> Component:
    if not recorded:
        return html.P(
            "Nothing was recorded: content capture may be off, or this span has none.", className="about"
        )
    if len(recorded) > 2_000_000:
        return block(recorded)
    return conversation(messages(recorded, role), as_markdown=as_markdown)
