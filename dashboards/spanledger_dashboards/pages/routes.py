"""Routes: where calls go, how each target does, when a route moved to its fallback, why, and who decided."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import serving
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.serving import Served
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.colours import Colours
from spanledger_dashboards.documents import documents
from spanledger_dashboards.figures.frame import COUNT
from spanledger_dashboards.figures.series import stacked
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    chart,
    empty,
    facts,
    link,
    page_title,
    panel,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.common import event_marks, state
from spanledger_dashboards.text import NONE, ago, count, duration, line, percent, usd, when
from spanledger_dashboards.view import View

_RULE = """[upstream.openai]
base_url = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"

[route.gpt-4o]
targets = [{ upstream = "openai", model = "gpt-4o" }, { upstream = "local", model = "llama-3.3-70b", role = "fallback" }]
quality = { score = "groundedness", floor = 0.7 }"""


async def render(view: View) -> Component:
    """One panel a route: its state, its targets, its answers by upstream over time, its switches."""
    step = view.window.step_s(points=60)
    rules, tried, switches = await gather(
        read(view, documents, ["route", "upstream"]),
        read(view, serving.served, view.window),
        read(view, audit.events, view.window, kinds=["route_switch"], limit=500),
    )
    routes = {version.name: version for version in rules if version.kind == "route"}
    names = sorted({*routes, *(one.route for one in tried)})
    chosen = [name for name in names if name == view.get("route")] or names
    title = page_title(
        "Routes",
        "A route is a public model name; the gateway sends its calls to a primary, and to a fallback when that is down or no longer good enough.",
    )
    bar = filters.bar(view, filters.select(view, "route", "Route", names))
    if not names:
        return html.Div(
            [
                title,
                bar,
                empty("No route yet", "Write one and apply it: spanledger apply routes.toml", _RULE),
            ],
            className="page",
        )
    shown = sorted(chosen, key=lambda name: -sum(one.attempts for one in tried if one.route == name))[:8]
    series = await gather(*(read(view, serving.upstream_series, view.window, name, step) for name in shown))
    tint = Colours(
        sorted(
            {one.upstream for one in tried}
            | {version.name for version in rules if version.kind == "upstream"}
        )
    )
    panels = [
        _route(view, name, routes.get(name), tried, switches, by_upstream, step, tint)
        for name, by_upstream in zip(shown, series, strict=True)
    ]
    return html.Div([title, bar, *panels], className="page")


PAGE = Page("/routes", "Routes", render, "Trace")


def _route(
    view: View, name: str, rule: Version | None, tried: Sequence[Served], switches: Sequence[EventRow],
    series: Mapping[str, Mapping[int, int]], step: int, tint: Colours,
) -> Component:  # fmt: skip
    own = [event for event in switches if event.subject == name]
    document: dict[str, Any] = rule.document if rule else {}
    now = own[0].state if own else "primary" if rule else ""
    parts: list[Component] = [_targets(name, document, [one for one in tried if one.route == name], view)]
    if series:
        buckets = list(view.window.buckets(step))
        counts = {
            upstream: [float(found.get(bucket, 0)) for bucket in buckets]
            for upstream, found in series.items()
        }
        tints = {upstream: tint.of(upstream) for upstream in counts}
        links = {
            upstream: [view.zoomed("/calls", at, step, route=name, upstream=upstream) for at in buckets]
            for upstream in counts
        }
        parts.append(
            chart(
                f"route-{name}",
                stacked(buckets, counts, tints, COUNT, links=links, marks=event_marks(own), height=170),
                f"Answers of {line(name, 60)} by upstream over time",
            )
        )
    parts.append(_rule(document))
    if own:
        parts.append(_switches(view, own))
    about = (
        "no document of this name: calls came from elsewhere"
        if rule is None
        else f"version {rule.version}, changed {ago(rule.time, view.now)} by {line(rule.author, 40) or 'unknown'}"
    )
    actions: list[Child] = [
        state(now),
        link("Its calls", view.href("/calls", route=name)),
        link("History", view.href("/registry", kind="route", name=name)) if rule else None,
    ]
    return panel(
        line(name, 80),
        parts,
        about=about,
        actions=[action for action in actions if action is not None],
        wide=True,
    )


def _targets(name: str, document: Mapping[str, Any], tried: Sequence[Served], view: View) -> Component:
    by_upstream = {one.upstream: one for one in tried}
    listed: list[tuple[str, str, str]] = [
        (str(target["upstream"]), str(target["model"]), str(target.get("role", "primary")))
        for target in document.get("targets", [])
    ]
    listed += [
        (one.upstream, "", "not a target now")
        for one in tried
        if one.upstream not in {name for name, *_ in listed}
    ]
    rows = [
        _target(upstream, model, role, by_upstream.get(upstream), view) for upstream, model, role in listed
    ]
    columns = [C("Upstream"), C("Model"), C("Role"), C("Attempts", number=True), C("Errors", number=True), C("p50", number=True), C("p95", number=True), C("First token", number=True), C("Cost", number=True), C("Last tried", number=True)]  # fmt: skip
    return table(columns, rows, label=f"Targets of {line(name, 60)}")


def _target(upstream: str, model: str, role: str, use: Served | None, view: View) -> list[Child]:
    tone = {"primary": "blue", "fallback": "violet"}.get(role, "grey")
    head: list[Child] = [line(upstream, 60) or "(cache)", line(model, 60), badge(role, tone)]
    if use is None:
        return [*head, "0", NONE, NONE, NONE, NONE, NONE, "not in this time range"]
    return [*head, count(use.attempts), percent(use.errors, use.attempts), duration(use.p50_ns), duration(use.p95_ns), duration(use.ttft_p50_ns), usd(use.cost), ago(use.last_ns, view.now)]  # fmt: skip


def _rule(document: Mapping[str, Any]) -> Component:
    quality: Mapping[str, Any] = document.get("quality") or {}
    cache: Mapping[str, Any] = document.get("cache") or {}
    guards = _guards(quality)
    floor = (
        f"{'; '.join(guards)}; a call within {duration(float(quality.get('window_s', 300)) * 1e9)}, from {quality.get('min_samples', 20)} samples"
        if guards
        else "none: only failures move this route"
    )
    kept = (
        f"exact answers for {duration(float(cache.get('ttl_s', 3600)) * 1e9)}"
        if cache.get("exact", bool(cache))
        else "off"
    )
    return facts([("Moves to its fallback when", line(floor, 200)), ("Cache", kept)])


def _guards(quality: Mapping[str, Any]) -> list[str]:
    """What a route is held to, in words, as its document has it."""
    short = [f"{quality['score']} below {quality['floor']}"] if quality.get("score") else []
    return [*short, *(_guard(guard) for guard in quality.get("guards", ()))]


def _guard(guard: Mapping[str, Any]) -> str:
    metric = str(guard["metric"]).removeprefix("score:")
    if "limit" in guard:
        return f"{metric} worse than {guard['limit']}"
    known = f"its baseline {guard['baseline']}" if "baseline" in guard else "its learned baseline"
    return f"{metric} worse than {known}" + (f" by {guard['margin']}" if "margin" in guard else "")


def _switches(view: View, own: Sequence[EventRow]) -> Component:
    rows = [
        [when(event.time), state(event.state), line(event.message or event.title, 240), line(event.author, 40), link("Evidence", view.href("/events", subject=event.subject, kind="route_switch"))]
        for event in own[:8]
    ]  # fmt: skip
    return table(
        [C("Switched (UTC)"), C("To"), C("Why"), C("Decided by"), C("Evidence")], rows, label="Switches"
    )
