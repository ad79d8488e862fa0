"""Alerts and events: one timeline of alerts, route switches, budget steps, gates and changed documents."""

from __future__ import annotations

import json
from asyncio import gather
from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import overview
from spanledger_collector.store.reads.alerting import Quiet, quiet_of
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.window import DAY
from spanledger_dashboards import colours as palette
from spanledger_dashboards.figures.frame import COUNT
from spanledger_dashboards.figures.series import stacked
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import acting, filters
from spanledger_dashboards.parts.basic import (
    Child,
    chart,
    empty,
    facts,
    link,
    page_title,
    panel,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.chat import block
from spanledger_dashboards.parts.common import event_marks, severity, state
from spanledger_dashboards.text import ago, count, line, when
from spanledger_dashboards.view import View

KINDS = {
    "alert": "alerts", "route_switch": "route switches", "budget_step": "budget steps",
    "config_change": "changed documents", "gate": "release gates", "delivery": "deliveries", "baseline": "accepted baselines",
    "silence": "silences", "cache": "cache tiers", "cache_bound": "cache bounds",
    "cache_replay": "cache replays",
}  # fmt: skip
LIMIT = 500


async def render(view: View) -> Component:
    """What is firing now, the timeline, and the calls below it for comparison."""
    kinds = [view.get("kind")] if view.get("kind") in KINDS else []
    step = view.window.step_s()
    trail, series, quiet = await gather(
        read(view, audit.events, view.window, kinds=kinds, severity=view.get("severity"), subject=view.get("subject"), limit=LIMIT),
        read(view, overview.series, view.window, step),
        read(view, quiet_of, since=view.now - 31 * DAY),
    )  # fmt: skip
    subjects = sorted({event.subject for event in trail})
    controls = [
        filters.select(view, "kind", "Kind", [*KINDS.items()]),
        filters.select(view, "severity", "Severity", ["critical", "warning", "info"]),
        filters.select(view, "subject", "About", subjects),
    ]
    title = page_title(
        "Alerts and events",
        "What happened, when, why, and who decided it. This is the audit trail: nothing here is ever changed.",
    )
    parts: list[Component] = [title, filters.bar(view, *controls)]
    if not trail:
        return html.Div([*parts, _nothing(view)], className="page")
    calls = {
        "ok": [float(m.calls - m.errors) for m in series.values()],
        "error": [float(m.errors) for m in series.values()],
    }
    figure = stacked(list(series), calls, palette.STATUS, COUNT, marks=event_marks(trail), height=160)
    parts += [
        _numbers(trail),
        *([_firing(view, now, quiet)] if (now := firing(trail)) else []),
        panel("When", chart("events", figure, "Calls over time with events as marks"), about="calls, with events as marks", wide=True),
        panel("Timeline", _timeline(view, trail), about="newest first" + (f", the latest {LIMIT}" if len(trail) >= LIMIT else ""), wide=True),
    ]  # fmt: skip
    return html.Div(parts, className="page")


PAGE = Page("/events", "Alerts and events", render, "Operate")


def firing(trail: Sequence[EventRow]) -> list[EventRow]:
    """Alerts whose newest event says firing; ``trail`` is newest first."""
    newest: dict[str, EventRow] = {}
    for event in trail:
        if event.kind == "alert":
            newest.setdefault(event.dedup_key or event.event_id, event)
    return [event for event in newest.values() if event.state == "firing"]


def _firing(view: View, now: Sequence[EventRow], quiet: Sequence[Quiet]) -> Component:
    rows = [
        [link(event.subject, view.href(subject=event.subject)), severity(event.severity), line(event.title, 120),
         ago(event.time, view.now), html.Div(_answer(view, event, quiet))]
        for event in now
    ]  # fmt: skip
    columns = [C("About"), C("Severity"), C("What"), C("Since", number=True), C("Who is at it")]
    return panel("Firing now", table(columns, rows, label="Alerts that fire now"), about="acknowledge what you work on; silence what you know", wide=True)  # fmt: skip


def _answer(view: View, event: EventRow, quiet: Sequence[Quiet]) -> list[Child]:
    key = event.dedup_key or event.event_id
    of = {"alert": key}
    said = max(
        (one for one in quiet if one.covers(view.project, key)), key=lambda one: one.time, default=None
    )
    if said is not None and said.state == "silenced" and said.until > view.now:
        told = f"silenced by {line(said.author, 40)} until {when(said.until, seconds=False)} UTC"
        return [told, acting.button(view, "unsilence", "Tell it again", of)]
    parts: list[Child] = []
    if said is not None and said.state == "acknowledged" and said.time >= event.time:
        parts.append(f"acknowledged by {line(said.author, 40)} {ago(said.time, view.now)}")
    else:
        parts.append(acting.button(view, "acknowledge", "Acknowledge", of))
    hours = acting.choice_field("silence", "hours", "For", ["1 h", "8 h", "24 h", "168 h"], of)
    why = acting.text_field("silence", "why", "Why", of)
    return [*parts, acting.button(view, "silence", "Silence", of, hours, why)]


def _nothing(view: View) -> Component:
    if view.filters:
        return empty("No event matches", "Remove a filter, or widen the time range above.")
    return empty(
        "Nothing happened in this time range",
        "Alerts fire by rules you set. A budget and a route's quality floor raise theirs by themselves.",
        '[alert.slow]\nmetric = "latency_p95_s"\nop = ">"\nthreshold = 5\nwindow_s = 300',
    )


def _numbers(trail: Sequence[EventRow]) -> Component:
    now = firing(trail)
    kinds = {kind: sum(event.kind == kind for event in trail) for kind in KINDS}
    return stats(
        stat("Firing now", count(len(now)), tone="red" if now else "", about=", ".join(line(event.subject, 30) for event in now[:3]) or "all quiet"),
        *(stat(KINDS[kind].capitalize(), count(number)) for kind, number in kinds.items() if number),
    )  # fmt: skip


def _timeline(view: View, trail: Sequence[EventRow]) -> Component:
    days = [
        html.Section(
            [
                html.H3(day, className="day"),
                html.Ol([_event(view, event) for event in group], className="events"),
            ]
        )
        for day, group in groupby(trail, key=lambda event: when(event.time)[:10])
    ]
    return html.Div(days)


def _event(view: View, event: EventRow) -> Component:
    start = event.time // 1_000_000_000
    around = view.zoomed("/calls", start - 600, 900)
    head = [
        html.Time(when(event.time)[11:], title=ago(event.time, view.now)),
        severity(event.severity),
        html.Strong(line(event.title, 160)),
        state(event.state),
    ]
    about = [event.kind.replace("_", " "), " · ", link(event.subject, view.href(subject=event.subject)) if event.subject else "", f" · by {line(event.author, 60)}" if event.author else ""]  # fmt: skip
    body: list[Component] = [html.Div(head, className="event-head"), html.Div(about, className="about")]
    if event.message:
        body.append(html.P(line(event.message, 800), dir="auto"))
    body.append(
        html.Details(
            [
                html.Summary("Evidence"),
                *_evidence(event.evidence),
                html.P(link("Calls around this time", around)),
            ],
            className="evidence",
        )
    )
    return html.Li(
        body, className=f"event {event.severity if event.severity in palette.SEVERITY else 'info'}"
    )


def _evidence(text: str) -> list[Component]:
    if not text:
        return [html.P("None was recorded.", className="about")]
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError):
        return [block(text, 4000)]
    if not isinstance(loaded, dict):
        return [block(text, 4000)]
    pairs = [
        (line(str(name).replace("_", " "), 60), line(_value(value), 300))
        for name, value in cast("dict[str, Any]", loaded).items()
    ]
    return [facts(pairs)]


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
