"""Overview: how much, how much it cost, how fast, how often it failed, how good it was."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import ledger, overview
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.overview import Measures, ScorePoint, Total
from spanledger_collector.store.reads.window import DAY, SECOND
from spanledger_dashboards import colours as palette
from spanledger_dashboards.figures.frame import COUNT, PERCENT, Figure, money_unit, time_unit
from spanledger_dashboards.figures.series import Line, Mark, lines, stacked
from spanledger_dashboards.here import colours, read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import chart, empty, grid, link, page_title, panel, stat, stats, table
from spanledger_dashboards.parts.common import by_name, event_marks, score_figure, severity, state
from spanledger_dashboards.text import change, count, duration, line, percent, short, usd, usd_exact, when
from spanledger_dashboards.top import top
from spanledger_dashboards.view import View

_BY_DAYS = 14 * DAY
"""From this length on, cost is shown by days, which the ledger has summed."""

FIRST_CALL = """import spanledger
from openai import OpenAI

client = spanledger.wrap(OpenAI())   # records prompt, answer, tokens, cost, latency"""


async def render(view: View) -> Component:
    """Totals against the period before, four charts, the scores, and what happened lately."""
    step = view.window.step_s()
    money_step = max(step, DAY // SECOND) if view.window.length >= _BY_DAYS else step
    (total, before, series), (models, scores, trail), tint = await gather(
        gather(
            read(view, overview.totals, view.window),
            read(view, overview.totals, view.window.before()),
            read(view, overview.series, view.window, step),
        ),
        gather(
            read(view, ledger.costs, view.window, ["model"], step_s=money_step),
            read(view, overview.score_series, view.window, view.window.step_s(points=24)),
            read(view, audit.events, view.window, limit=200),
        ),
        colours(view, "model"),
    )
    title = page_title(
        "Overview", "Every model call of this project: volume, cost, speed, failures, quality."
    )
    if not total.calls and not before.calls:
        return _page(title, _nothing_yet())
    marks = event_marks(trail)
    groups = top(models, view.window, money_step)
    return _page(
        title,
        _numbers(view, total, before),
        grid(
            panel("Calls", chart("calls", _calls(view, series, step, marks), "Calls over time by outcome"),
                  about="per " + _every(step)),
            panel("Cost by model", chart("cost", _cost(view, groups, tint, money_step), "Cost over time by model"),
                  about="USD per " + _every(money_step)),
            panel("Latency", chart("latency", _latency(view, series, step, marks), "Latency over time, median and 95th percentile"),
                  about="whole answer, half and 95 % of calls are faster"),
            panel("Errors and cache hits", chart("errors", _rates(view, series, step, marks), "Share of calls that failed and that the cache answered"),
                  about="share of calls"),
        ),
        panel("Scores", _scores(view, scores, marks), about="mean per " + _every(view.window.step_s(points=24)) + " with its 95 % interval", actions=link("All scores", view.href("/scores")), wide=True),
        panel("Lately", _lately(view, trail), actions=link("All events", view.href("/events")), wide=True),
    )  # fmt: skip


PAGE = Page("/", "Overview", render, "Trace")


def _page(*parts: Component) -> Component:
    from dash import html

    return html.Div(list(parts), className="page")


def _nothing_yet() -> Component:
    return panel(
        "No calls yet",
        empty(
            "Nothing was recorded in this time range",
            "Widen the time range above, or send a first call: wrap your client, or point it at the gateway's base URL.",
            FIRST_CALL,
        ),
        wide=True,
    )


def _numbers(view: View, total: Total, before: Total) -> Component:
    unpriced = f"{count(total.unpriced)} unpriced" if total.unpriced else "every call priced"
    return stats(
        stat("Calls", short(total.calls), about=change(total.calls, before.calls), href=view.href("/calls"), title=count(total.calls)),
        stat("Cost", usd(total.cost), about=change(total.cost, before.cost), href=view.href("/spend"), title=usd_exact(total.cost)),
        stat("Pricing", percent(total.calls - total.unpriced, total.calls), about=unpriced, href=view.href("/calls", unpriced="1"), tone="amber" if total.unpriced else ""),
        stat("Latency p50", duration(total.p50_ns), about=f"first token {duration(total.ttft_p50_ns)}"),
        stat("Latency p95", duration(total.p95_ns), about=change(total.p95_ns, before.p95_ns), href=view.href("/calls", order="duration_ns")),
        stat("Errors", percent(total.errors, total.calls), about=f"{count(total.errors)} calls", href=view.href("/calls", status="error"), tone="red" if total.errors else ""),
        stat("Cache hits", percent(total.cache_hits, total.calls), about=f"{usd(total.saved)} not spent", href=view.href("/cache")),
    )  # fmt: skip


def _every(step_s: int) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if step_s % size == 0:
            number = step_s // size
            return name if number == 1 else f"{number} {name}s"
    return f"{step_s} seconds"


def _calls(view: View, series: dict[int, Measures], step: int, marks: Sequence[Mark]) -> Figure:
    buckets = list(series)
    parts = {
        "ok": [float(m.calls - m.errors - m.cut) for m in series.values()],
        "cut": [float(m.cut) for m in series.values()],
        "error": [float(m.errors) for m in series.values()],
    }
    links = {name: [view.zoomed("/calls", at, step, status=name) for at in buckets] for name in parts}
    shown = {name: values for name, values in parts.items() if name != "cut" or any(values)}
    return stacked(buckets, shown, palette.STATUS, COUNT, links=links, marks=marks)


def _cost(view: View, groups: dict[str, list[float]], tint: palette.Colours, step: int) -> Figure:
    buckets = list(view.window.buckets(step))
    sums = [sum(values) for values in zip(*groups.values(), strict=True)] if groups else []
    links = {
        name: [
            view.zoomed("/calls", at, step, model=None if name == palette.OTHERS else name) for at in buckets
        ]
        for name in groups
    }
    return stacked(buckets, groups, {name: tint.of(name) for name in groups}, money_unit(sums), links=links)


def _latency(view: View, series: dict[int, Measures], step: int, marks: Sequence[Mark]) -> Figure:
    p95 = [m.p95_ns for m in series.values()]
    links = [view.zoomed("/calls", at, step, order="duration_ns") for at in series]
    both = [
        Line("p95", p95, palette.AMBER),
        Line("p50", [m.p50_ns for m in series.values()], palette.BLUE),
        Line("first token p50", [m.ttft_p50_ns for m in series.values()], palette.GREEN, dashed=True),
    ]
    return lines(list(series), both, time_unit(p95), links=links, marks=marks)


def _rates(view: View, series: dict[int, Measures], step: int, marks: Sequence[Mark]) -> Figure:
    def rate(part: int, whole: int) -> float | None:
        return 100 * part / whole if whole else None

    both = [
        Line("errors", [rate(m.errors, m.calls) for m in series.values()], palette.RED),
        Line("cache hits", [rate(m.cache_hits, m.calls) for m in series.values()], palette.GREEN),
    ]
    links = [view.zoomed("/calls", at, step, status="error") for at in series]
    return lines(list(series), both, PERCENT, links=links, marks=marks)


def _scores(view: View, points: Sequence[ScorePoint], marks: Sequence[Mark]) -> Component:
    if not points:
        return empty(
            "No scores in this time range",
            "Add an evaluator for a route, or send scores from your code. Scores then show here and beside each call.",
            '[evaluator.groundedness]\nscorers = ["groundedness"]\nrate = 0.2',
        )
    buckets = list(view.window.buckets(view.window.step_s(points=24)))
    return grid(
        *(
            panel(line(name, 60), chart(f"score-{name}", score_figure(view, name, group, buckets, marks), f"Mean of {line(name, 60)} over time"),
                  actions=link("Details", view.href("/scores", score=name)))
            for name, group in by_name(points, 6).items()
        ),
        columns=3,
    )  # fmt: skip


def _lately(view: View, trail: Sequence[EventRow]) -> Component:
    if not trail:
        return empty(
            "Nothing happened", "Alerts, route switches, budget steps and changed documents appear here."
        )
    rows = [
        [when(event.time), severity(event.severity), event.kind.replace("_", " "), link(event.title, view.href("/events", subject=event.subject)), state(event.state)]
        for event in trail[:6]
    ]  # fmt: skip
    return table(
        [C("Time (UTC)"), C("Severity"), C("Kind"), C("What"), C("State")], rows, label="Latest events"
    )
