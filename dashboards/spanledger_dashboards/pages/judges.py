"""Judges: who gives the scores, how often they fail, what they cost, and whether people agree with them."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import quality
from spanledger_collector.store.reads.quality import Agreement, ScoreSlice
from spanledger_dashboards.here import read
from spanledger_dashboards.intervals import wilson
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.pages.scores import RULE, failures, mean_cell
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import empty, page_title, panel, stat, stats, table
from spanledger_dashboards.text import NONE, count, decimal, line, percent, usd
from spanledger_dashboards.view import View


async def render(view: View) -> Component:
    """Judges as they worked, and beside people."""
    judges, scorers, agreed = await gather(
        read(view, quality.score_slices, view.window, "judge_id"),
        read(view, quality.score_slices, view.window, "scorer_version"),
        read(view, quality.agreements, view.window),
    )
    title = page_title(
        "Judges",
        "A score is worth what its judge is worth: failures, cost, and agreement with people on the same answers.",
    )
    if not scorers:
        return html.Div(
            [
                title,
                empty(
                    "No verdicts in this time range", "Widen the time range above, or add an evaluator.", RULE
                ),
            ],
            className="page",
        )
    costs = [one.cost for one in scorers if one.cost is not None]
    asked, valid = sum(one.asked for one in scorers), sum(one.n for one in scorers)
    return html.Div(
        [
            title,
            stats(
                stat("Verdicts", count(valid), about=f"of {count(asked)} asked for"),
                stat("Failed", percent(asked - valid, asked), tone="amber" if asked > valid else ""),
                stat("Judging cost", usd(sum(costs[1:], start=costs[0])) if costs else NONE, about="as said by the judges" if costs else "no judge named a cost"),
                stat("Judged by people too", count(sum(one.n for one in agreed)), about="pairs of verdicts"),
            ),
            panel("Judges", _table(judges, "Judge", "(no model: built in, or a person)"), wide=True),
            panel("Scorers and versions", _table(scorers, "Scorer", "(from your code or a person)"), about="a new version starts its own row, so that drift shows", wide=True),
            panel("Agreement with people", _agreement(agreed), about="verdicts on the same side of one half", wide=True),
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/judges", "Judges", render, "Quality")


def _table(slices: Sequence[ScoreSlice], what: str, unnamed: str) -> Component:
    rows = [
        [line(one.slice, 90) or unnamed, mean_cell(one), count(one.n), percent(one.asked - one.n, one.asked), failures(one), usd(one.cost)]
        for one in slices
    ]  # fmt: skip
    columns = [C(what), C("Mean, 95 % interval", number=True), C("Verdicts", number=True), C("Failed", number=True), C("Reasons"), C("Cost", number=True)]  # fmt: skip
    return table(columns, rows, label=what)


def _agreement(agreed: Sequence[Agreement]) -> Component:
    if not agreed:
        return empty(
            "No answer was judged by a judge and a person",
            "Collect people's verdicts: spanledger.score(name, value) in your code, or POST /api/scores with source human.",
        )
    rows = [
        [
            line(one.name, 60), line(one.judge_id, 60), line(one.human_name, 60), count(one.n), percent(one.same, one.n),
            " to ".join(percent(end) for end in wilson(one.same / one.n, one.n)), decimal(one.kappa, 2), decimal(one.correlation, 2),
        ]
        for one in agreed
    ]  # fmt: skip
    columns = [
        C("Score"), C("Judge"), C("People's score"), C("Both", number=True), C("Agree", number=True),
        C("95 % interval", number=True), C("Kappa", number=True, about="Cohen's kappa: 0 is chance, 1 is full agreement"),
        C("Correlation", number=True),
    ]  # fmt: skip
    return table(columns, rows, label="Agreement of judges with people")
