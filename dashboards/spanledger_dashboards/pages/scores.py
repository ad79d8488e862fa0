"""Scores: how good answers are, with the interval, the coverage and the failures of each score, and its worst cases."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import overview, quality
from spanledger_collector.store.reads.asking import Row
from spanledger_collector.store.reads.overview import ScorePoint
from spanledger_collector.store.reads.quality import ScoreSlice
from spanledger_dashboards.colours import VIOLET
from spanledger_dashboards.figures.series import Mark
from spanledger_dashboards.figures.spread import bars
from spanledger_dashboards.here import read
from spanledger_dashboards.intervals import interval
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import (
    Children,
    chart,
    empty,
    grid,
    link,
    moment,
    page_title,
    panel,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.common import by_name, event_marks, score_figure
from spanledger_dashboards.text import NONE, count, decimal, line, percent, usd
from spanledger_dashboards.top import UNNAMED
from spanledger_dashboards.view import View

LABELS = {
    "route": "route", "request_model": "model", "upstream": "upstream", "evaluator": "evaluator",
    "judge_id": "judge", "scorer_version": "scorer and version", "source": "source",
}  # fmt: skip
RULE = '[evaluator.rag-quality]\nscorers = ["groundedness"]\nrate = 0.2\nfilter = { route = "gpt-4o" }'


async def render(view: View) -> Component:
    """All scores, or one of them in depth when the address names it."""
    step = view.window.step_s(points=40)
    slices, covered, points, trail = await gather(
        read(view, quality.score_slices, view.window, "name"),
        read(view, quality.coverage, view.window),
        read(view, overview.score_series, view.window, step),
        read(view, audit.events, view.window, limit=200),
    )
    title = page_title(
        "Scores", "Means with their 95 % intervals. A judge that failed is never counted as a verdict."
    )
    names = [one.slice for one in slices]
    chosen = view.get("score")
    bar = filters.bar(
        view,
        filters.select(view, "score", "Score", names),
        filters.select(view, "by", "Sliced by", [*LABELS.items()], "route"),
    )
    if not slices:
        return html.Div(
            [
                title,
                bar,
                empty(
                    "No scores in this time range",
                    "Widen the time range above, or let an evaluator score a share of the calls.",
                    RULE,
                ),
            ],
            className="page",
        )
    marks = event_marks(trail)
    if chosen in names:
        one = next(each for each in slices if each.slice == chosen)
        return html.Div([title, bar, *await _one(view, one, covered, points, marks, step)], className="page")
    return html.Div(
        [title, bar, _all(view, slices, covered), _small(view, points, marks, step)], className="page"
    )


PAGE = Page("/scores", "Scores", render, "Quality")


def mean_cell(one: ScoreSlice) -> Children:
    """A mean with its interval, or what stands in the way of one."""
    if one.mean is None:
        return NONE
    ends = interval(one.mean, one.deviation, one.n, binary=one.binary)
    about = f"{decimal(ends[0])} to {decimal(ends[1])}" if ends else "too few for an interval"
    return [html.Strong(decimal(one.mean)), html.Div(about, className="about")]


def failures(one: ScoreSlice) -> str:
    """Verdicts that never came, by reason."""
    bad = {name: number for name, number in one.statuses.items() if name != "ok"}
    return (
        ", ".join(f"{count(number)} {name.replace('_', ' ')}" for name, number in sorted(bad.items()))
        or "none"
    )


def _all(view: View, slices: Sequence[ScoreSlice], covered: dict[str, tuple[int, int]]) -> Component:
    rows = [
        [
            link(one.slice, view.href(score=one.slice)), mean_cell(one), count(one.n),
            percent(*covered[one.slice]) if one.slice in covered else NONE, failures(one),
            usd(one.cost) if one.cost is not None else NONE,
            "higher is better" if one.higher_is_better else "lower is better",
        ]
        for one in slices
    ]  # fmt: skip
    columns = [C("Score"), C("Mean, 95 % interval", number=True), C("Verdicts", number=True), C("Coverage", number=True, about="calls with a valid verdict among those that could have one"), C("Failed"), C("Judging cost", number=True), C("Direction")]  # fmt: skip
    return panel("All scores", table(columns, rows, label="Scores"), wide=True)


def _small(view: View, points: Sequence[ScorePoint], marks: Sequence[Mark], step: int) -> Component:
    buckets = list(view.window.buckets(step))
    return grid(
        *(
            panel(line(name, 60), chart(f"score-{name}", score_figure(view, name, group, buckets, marks), f"Mean of {line(name, 60)} over time"),
                  actions=link("Look closer", view.href(score=name)))
            for name, group in by_name(points, 12).items()
        ),
        columns=3,
    )  # fmt: skip


async def _one(
    view: View,
    one: ScoreSlice,
    covered: dict[str, tuple[int, int]],
    points: Sequence[ScorePoint],
    marks: Sequence[Mark],
    step: int,
) -> list[Component]:
    name = one.slice
    by = view.get("by") if view.get("by") in LABELS else "route"
    slices, bins, worst = await gather(
        read(view, quality.score_slices, view.window, by, name),
        read(view, quality.score_bins, view.window, name),
        read(view, quality.worst_scores, view.window, name),
    )
    buckets = list(view.window.buckets(step))
    own = [point for point in points if point.name == name]
    ends = interval(one.mean, one.deviation, one.n, binary=one.binary)
    return [
        stats(
            stat("Mean", decimal(one.mean), about=f"95 % interval {decimal(ends[0])} to {decimal(ends[1])}" if ends else "too few for an interval"),
            stat("Verdicts", count(one.n), about=f"of {count(one.asked)} asked for"),
            stat("Coverage", percent(*covered.get(name, (0, 0))), about="of calls that could be scored"),
            stat("Failed", count(one.asked - one.n), about=failures(one), tone="amber" if one.asked > one.n else ""),
            stat("Judging cost", usd(one.cost), about="" if one.cost is not None else "no judge named a cost"),
        ),
        panel(f"{line(name, 60)} over time", chart("score", score_figure(view, name, own, buckets, marks), f"Mean of {line(name, 60)} over time"), about="mean with its 95 % interval; dotted lines are events", wide=True),
        grid(
            panel(f"By {LABELS[by]}", _slices(slices, by)),
            panel("Spread", chart("spread", bars(bins, VIOLET), f"Distribution of {line(name, 60)}"), about="number of verdicts by value"),
        ),
        panel("Worst cases", _worst(view, worst), about="open one to see the call", wide=True),
    ]  # fmt: skip


def _slices(slices: Sequence[ScoreSlice], by: str) -> Component:
    rows = [[line(one.slice, 80) or UNNAMED, mean_cell(one), count(one.n), failures(one)] for one in slices]
    return table(
        [
            C(LABELS[by].capitalize()),
            C("Mean, 95 % interval", number=True),
            C("Verdicts", number=True),
            C("Failed"),
        ],
        rows,
        label=f"Score by {LABELS[by]}",
    )


def _worst(view: View, rows: Sequence[Row]) -> Component:
    cells = [
        [
            moment(row["time_ns"], view.href(f"/traces/{row['trace']}", span=row["span"] or None)),
            decimal(row["value"]), line(row["route"], 40), line(row["request_model"], 50),
            line(row["judge_id"] or row["scorer"] or row["source"], 50), line(row["explanation"] or row["label"], 220),
        ]
        for row in rows
    ]  # fmt: skip
    return table(
        [C("Call (UTC)"), C("Value", number=True), C("Route"), C("Model"), C("Judge"), C("Why")],
        cells,
        label="Worst cases",
    )
