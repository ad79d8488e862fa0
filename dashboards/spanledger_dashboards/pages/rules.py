"""Alert rules: what each watches, how it stands, when it would have fired; and an editor that asks the past first."""

from __future__ import annotations

import math
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import alerting
from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads.alerting import Measured
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.window import SECOND
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.colours import BLUE, RED
from spanledger_dashboards.documents import documents
from spanledger_dashboards.figures.frame import Unit
from spanledger_dashboards.figures.series import Line, lines
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import acting, filters
from spanledger_dashboards.parts.basic import Child, chart, empty, facts, link, notice, page_title, panel
from spanledger_dashboards.parts.common import state
from spanledger_dashboards.text import count, duration, line, when
from spanledger_dashboards.view import BadView, View

_RULE = '[alert.slow]\nmetric = "latency_p95_s"    # or error_rate, cost_usd, cache_hit_rate, score:NAME, ...\nop = ">"\nthreshold = 8\nwindow_s = 300\nby = ["route"]            # an alert of its own for each\nchannels = ["ALERT_SLACK_URL"]'
_OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}
_MAX_POINTS = 400
_FIELDS = ("metric", "op", "threshold", "window_s", "min_samples", "dimension", "value")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule asks; ``scope`` by dimension."""

    name: str
    metric: str
    op: str
    threshold: float
    window_s: int
    min_samples: int
    scope: dict[str, str]


async def render(view: View) -> Component:
    """The editor, then one panel a rule."""
    rules, trail = await gather(
        read(view, documents, ["alert"]), read(view, audit.events, view.window, kinds=["alert"], limit=500)
    )
    title = page_title(
        "Alert rules",
        "What workers watch. The preview asks the past: how often would this rule have fired?",
        link("What fired", view.href("/events", kind="alert")),
    )
    shown = [_rule(version) for version in rules[:20]]
    panels = await gather(
        _editor(view),
        *(
            _panel(view, version, rule, [event for event in trail if event.subject == rule.name])
            for version, rule in zip(rules, shown, strict=False)
        ),
    )
    none = [] if rules else [empty("No rule yet, in any time range", "Try one above, or write it and apply it: spanledger apply alerts.toml", _RULE)]  # fmt: skip
    return html.Div([title, *panels, *none], className="page")


PAGE = Page("/rules", "Alert rules", render, "Operate")


async def _editor(view: View) -> Component:
    """A rule in the address, tried on the time range; saved by those who may."""
    metric = view.get("metric", "error_rate")
    dimension = view.get("dimension")
    controls = [
        filters.search(view, "metric", "Metric", "error_rate, latency_p95_s, score:NAME", 190),
        filters.select(view, "op", "Fires when it is", list(_OPERATORS), ">"),
        filters.search(view, "threshold", "Threshold", "0.05", 100),
        filters.search(view, "window_s", "Over seconds", "300", 110),
        filters.search(view, "min_samples", "At least calls", "20", 110),
        filters.select(view, "dimension", "Only where", list(alerting.dimensions_of(metric))),
        *([filters.search(view, "value", "is", "its value", 150)] if dimension else []),
    ]
    body: list[Child] = [filters.bar(view, *controls)]
    if view.get("threshold"):
        rule = asked(view)
        body.append(await _preview(view, rule))
        of = _texts(rule)
        save = acting.button(
            view, "save_rule", "Save as a rule", of,
            *(acting.text_field("save_rule", name, label, of, width=width) for name, label, width in
              (("name", "Name", 150), ("channels", "Channels (names of variables)", 200), ("why", "Why", 200))),
        )  # fmt: skip
        body.append(save or html.P("Sign in with an editor's key to save it.", className="about"))
    else:
        body.append(
            html.P(
                "Give a metric and a threshold to see when such a rule would have fired.", className="about"
            )
        )
    return panel(
        "Try a rule on the past", body, about=f"metrics: {', '.join(alerting.METRICS)}, score:NAME", wide=True
    )


def asked(view: View) -> Rule:
    """The rule in an address. Raises BadView where it is none."""
    metric = view.get("metric", "error_rate")
    if metric not in alerting.METRICS and not metric.startswith(alerting.SCORE):
        raise BadView(
            f"“{line(metric, 60)}” is no metric. There are: {', '.join(alerting.METRICS)}, score:NAME."
        )
    try:
        threshold = float(view.get("threshold"))
        window_s, least = int(view.get("window_s", "300")), int(view.get("min_samples", "20"))
    except ValueError as wrong:
        raise BadView("Threshold, seconds and calls are numbers.") from wrong
    if not math.isfinite(threshold) or not 1 <= window_s <= 31 * 86400 or least < 1:
        raise BadView("A window lasts 1 second to 31 days, and needs at least one call.")
    dimension = view.get("dimension")
    if dimension and dimension not in alerting.dimensions_of(metric):
        raise BadView(f"“{line(dimension, 60)}” is no dimension of {line(metric, 60)}.")
    scope = {dimension: view.get("value")} if dimension and view.get("value") else {}
    op = view.get("op", ">")
    return Rule("", metric, op if op in _OPERATORS else ">", threshold, window_s, least, scope)


def _texts(rule: Rule) -> dict[str, str]:
    dimension, value = next(iter(rule.scope.items()), ("", ""))
    told = (
        rule.metric,
        rule.op,
        f"{rule.threshold:g}",
        str(rule.window_s),
        str(rule.min_samples),
        dimension,
        value,
    )
    return dict(zip(_FIELDS, told, strict=True))


def _rule(version: Version) -> Rule:
    document = version.document
    return Rule(
        name=version.name,
        metric=str(document["metric"]),
        op=str(document.get("op", ">")),
        threshold=float(document["threshold"]),
        window_s=max(1, int(float(document.get("window_s", 300)))),
        min_samples=int(document.get("min_samples", 20)),
        scope={str(name): str(value) for name, value in document.get("scope", {}).items()},
    )


async def _panel(view: View, version: Version, rule: Rule, told: Sequence[EventRow]) -> Component:
    where = ", ".join(f"{name} {value}" for name, value in rule.scope.items()) or "every call of the project"
    by = [str(name) for name in version.document.get("by", [])]
    split = f", each {', '.join(by)} by itself" if by else ""
    about = f"alert when {line(rule.metric, 60)} {rule.op} {rule.threshold:g} over {duration(rule.window_s * 1e9)}, for {line(where, 120)}{split}"
    actions: list[Child] = [
        state(told[0].state) if told else None,
        link("Try it with other numbers", view.href(**_texts(rule))),
        link("History and edit", view.href("/registry", kind="alert", name=rule.name)),
    ]
    body: list[Child] = []
    if by:
        body.append(html.P("The preview shows all of them together.", className="about"))
    body.append(await _preview(view, rule))
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


async def _preview(view: View, rule: Rule) -> Component:
    step = max(rule.window_s, view.window.length // SECOND // _MAX_POINTS)
    try:
        found = await read(
            view, alerting.measured_over, view.window, metric=rule.metric, scope=rule.scope, step_s=step
        )
    except ValueError as wrong:
        return notice(line(str(wrong), 300), "amber")
    buckets = list(view.window.buckets(step))
    values = [_value(rule, found.get(at)) for at in buckets]
    known = [value for value in values if value is not None]
    if not known:
        return empty(
            "Nothing to preview in this time range",
            f"No window had {rule.min_samples} samples of {line(rule.metric, 60)}; widen the time range above.",
        )
    fired = sum(_OPERATORS[rule.op](value, rule.threshold) for value in known)
    figure = lines(buckets, [Line(line(rule.metric, 60), values, BLUE), Line("threshold", [rule.threshold] * len(buckets), RED, dashed=True)], Unit(), height=190,
                   links=[view.zoomed("/calls", at, step, **rule.scope) for at in buckets])  # fmt: skip
    coarse = (
        f" Windows are {duration(step * 1e9)} long here, the rule's are {duration(rule.window_s * 1e9)}."
        if step > rule.window_s
        else ""
    )
    words = f"{count(fired)} of {count(len(known))} windows with enough samples pass the threshold.{coarse}"
    return html.Div(
        [
            chart(f"rule-{rule.name}", figure, f"{line(rule.metric, 60)} against its threshold"),
            html.P(words, className="about"),
        ]
    )


def _value(rule: Rule, found: Measured | None) -> float | None:
    """What a window says; None where too few calls tell, but a sum of nothing is 0."""
    if rule.metric in alerting.SUMS:
        return 0.0 if found is None or math.isnan(found.value) else found.value
    return (
        None if found is None or found.samples < rule.min_samples or math.isnan(found.value) else found.value
    )
