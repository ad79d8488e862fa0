"""Alert rules: what each watches, how it stands, and when it would have fired in the time range."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from operator import ge, gt, le, lt
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import overview
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.overview import Measures
from spanledger_collector.store.reads.window import SECOND
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.colours import BLUE, RED
from spanledger_dashboards.documents import documents
from spanledger_dashboards.figures.frame import Unit
from spanledger_dashboards.figures.series import Line, lines
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts.basic import Child, chart, empty, facts, link, page_title, panel
from spanledger_dashboards.parts.common import state
from spanledger_dashboards.text import count, duration, line, when
from spanledger_dashboards.view import View

_RULE = '[alert.slow]\nmetric = "latency_p95_s"    # or calls, cost_usd, error_rate, unpriced, cache_hit_rate, score:NAME\nop = ">"\nthreshold = 8\nwindow_s = 300\nchannels = ["ALERT_SLACK_URL"]'
_OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}
_MAX_POINTS = 400


async def render(view: View) -> Component:
    """One panel a rule."""
    rules, trail = await gather(
        read(view, documents, ["alert"]), read(view, audit.events, view.window, kinds=["alert"], limit=500)
    )
    title = page_title(
        "Alert rules",
        "What workers watch. The preview asks the past: how often would this rule have fired?",
        link("What fired", view.href("/events", kind="alert")),
    )
    if not rules:
        return html.Div(
            [
                title,
                empty(
                    "No rule yet, in any time range",
                    "Write one and apply it: spanledger apply alerts.toml",
                    _RULE,
                ),
            ],
            className="page",
        )
    panels = await gather(
        *(_panel(view, rule, [event for event in trail if event.subject == rule.name]) for rule in rules[:20])
    )
    return html.Div([title, *panels], className="page")


PAGE = Page("/rules", "Alert rules", render, "Operate")


async def _panel(view: View, rule: Version, told: Sequence[EventRow]) -> Component:
    document = rule.document
    metric, op, threshold = (
        str(document["metric"]),
        str(document.get("op", ">")),
        float(document["threshold"]),
    )
    asked = max(1, int(float(document.get("window_s", 300))))
    step = max(asked, view.window.length // SECOND // _MAX_POINTS)
    scope: dict[str, Any] = document.get("scope", {})
    where = ", ".join(f"{name} {value}" for name, value in scope.items()) or "every call of the project"
    about = f"alert when {line(metric, 60)} {op} {threshold:g} over {duration(asked * 1e9)}, for {line(where, 120)}"
    actions: list[Child] = [
        state(told[0].state) if told else None,
        link("History and edit", view.href("/registry", kind="alert", name=rule.name)),
    ]
    body: list[Child] = [
        await _preview(view, rule, metric, op, threshold, step, asked) if not scope else _scoped()
    ]
    if told:
        body.append(
            facts([(when(event.time), line(event.message or event.title, 200)) for event in told[:4]])
        )
    return panel(
        line(rule.name, 80),
        body,
        about=about,
        actions=[action for action in actions if action is not None],
        wide=True,
    )


def _scoped() -> Component:
    return html.P(
        "A rule for a part of the calls has no preview here; the calls page with the same filters shows that part.",
        className="about",
    )


async def _preview(
    view: View, rule: Version, metric: str, op: str, threshold: float, step: int, asked: int
) -> Component:
    least = int(rule.document.get("min_samples", 20))
    if metric.startswith("score:"):
        name = metric.removeprefix("score:")
        points = [
            point
            for point in await read(view, overview.score_series, view.window, step)
            if point.name == name
        ]
        found = {point.bucket: point.mean if point.n >= least else None for point in points}
    else:
        series = await read(view, overview.series, view.window, step)
        found = {at: measured(metric, one, least) for at, one in series.items()}
    if all(value is None for value in found.values()):
        return empty(
            "Nothing to preview in this time range",
            f"No window had {least} samples of {line(metric, 60)}; widen the time range above.",
        )
    buckets = list(view.window.buckets(step))
    values = [found.get(at) for at in buckets]
    fired = sum(value is not None and _OPERATORS[op](value, threshold) for value in values)
    figure = lines(buckets, [Line(line(metric, 60), values, BLUE), Line("threshold", [threshold] * len(buckets), RED, dashed=True)], Unit(), height=190,
                   links=[view.zoomed("/calls", at, step) for at in buckets])  # fmt: skip
    coarse = (
        f" Windows are {duration(step * 1e9)} long here, the rule's are {duration(asked * 1e9)}."
        if step > asked
        else ""
    )
    words = f"{count(fired)} of {count(sum(value is not None for value in values))} windows with enough samples pass the threshold.{coarse}"
    return html.Div(
        [
            chart(f"rule-{rule.name}", figure, f"{line(metric, 60)} against its threshold"),
            html.P(words, className="about"),
        ]
    )


def measured(metric: str, one: Measures, least: int) -> float | None:
    """A metric of one window, as workers name it; None for too few calls, or for one that has no preview."""
    sums = {"calls": float(one.calls), "cost_usd": float(one.cost), "unpriced": float(one.unpriced)}
    if metric in sums:
        return sums[metric]
    if one.calls < least or not one.calls:
        return None
    shares = {"error_rate": one.errors / one.calls, "cache_hit_rate": one.cache_hits / one.calls}
    latency = None if one.p95_ns is None else one.p95_ns / 1e9
    return latency if metric == "latency_p95_s" else shares.get(metric)
