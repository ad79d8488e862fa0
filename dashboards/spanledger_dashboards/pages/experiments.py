"""Experiments: is the new version worse, by how much, and on which cases."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import experiments
from spanledger_collector.store.reads.asking import Row
from spanledger_collector.store.reads.experiments import Compared, Run
from spanledger_dashboards.here import read
from spanledger_dashboards.messages import messages
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import badge, empty, link, page_title, panel, table
from spanledger_dashboards.text import NONE, count, decimal, duration, line, percent, usd, when
from spanledger_dashboards.verdicts import cases_for, verdict
from spanledger_dashboards.view import View

_CODE = """spanledger eval run dataset:refunds --scorers groundedness --route support --prompt answer@7

@spanledger.observe(experiment="prompt-v7")      # or name it in your code: every model call below belongs to it
def answer(question): ..."""
_TONES = {"better": "green", "worse": "red", "no difference shown": "grey", "too few cases": "amber"}
_TARGET = 0.03


async def render(view: View) -> Component:
    """Experiments of the window; two of them compared when the address names both."""
    found = await read(view, experiments.runs, view.window)
    names = [run.experiment for run in found]
    before = view.get("before") if view.get("before") in names else (names[1] if len(names) > 1 else "")
    after = view.get("after") if view.get("after") in names else (names[0] if names else "")
    title = page_title(
        "Experiments",
        "Two versions on the same cases. A difference counts when its interval leaves zero out.",
    )
    if not found:
        return html.Div(
            [
                title,
                empty(
                    "No experiment in this time range",
                    "Widen the time range above, or name an experiment where you call.",
                    _CODE,
                ),
            ],
            className="page",
        )
    bar = filters.bar(
        view,
        filters.select(view, "before", "From", names, before),
        filters.select(view, "after", "To", names, after),
    )
    parts: list[Component] = [title, bar]
    if before and after and before != after:
        parts += await _comparison(view, before, after)
    parts.append(panel("Experiments", _runs(view, found), about="newest first", wide=True))
    return html.Div(parts, className="page")


PAGE = Page("/experiments", "Experiments", render, "Quality")


async def _comparison(view: View, before: str, after: str) -> list[Component]:
    scores = await read(view, experiments.compared, view.window, before, after)
    about = f"{line(after, 60)} against {line(before, 60)}, paired by case"
    if not scores:
        return [
            panel(
                "Comparison",
                empty(
                    "No case both experiments answered has a score",
                    "Score both, and ask both the same questions: a case is one input.",
                ),
                about=about,
                wide=True,
            )
        ]
    name = view.get("score") if view.get("score") in {one.name for one in scores} else scores[0].name
    cases, sliced = await gather(
        read(view, experiments.differing, view.window, before, after, name),
        read(view, experiments.compared, view.window, before, after, sliced=True),
    )
    slices = [one for one in sliced if one.name == name]
    chips = [link(one.name, view.href(score=one.name)) for one in scores]
    warned = [one for one in scores if one.measured_before != one.measured_after]
    return [
        panel(
            "Comparison",
            html.Div([*([_mismatch(warned)] if warned else []), _scores(scores)]),
            about=f"{about}; 95 % intervals, held for all scores together",
            wide=True,
        ),
        *(
            [
                panel(
                    f"{line(name, 60)} by slice",
                    _scores(slices, "Slice"),
                    about="the dataset's slices; 95 % intervals, held for all slices together",
                    wide=True,
                )
            ]
            if slices
            else []
        ),
        panel(
            f"Cases by {line(name, 60)}",
            _cases(view, cases),
            about="what got worst comes first",
            actions=chips,
            wide=True,
        ),
    ]


def _mismatch(warned: Sequence[Compared]) -> Component:
    told = [
        f"{line(one.name, 60)} was measured by {_listed(one.measured_before)} before and {_listed(one.measured_after)} after."
        for one in warned
    ]
    return html.P(["A difference may be the measure's: ", *told], className="notice amber")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(line(name, 60) for name in names) or "an unnamed scorer"


def _scores(scores: Sequence[Compared], what: str = "Score") -> Component:
    rows = [_score(one, len(scores), one.slice or one.name) for one in scores]
    columns = [C(what), C("Verdict"), C("Before", number=True), C("After", number=True), C("Difference", number=True), C("Interval", number=True), C("Cases", number=True), C("Better", number=True), C("Worse", number=True), C("What these cases can show")]  # fmt: skip
    return table(columns, rows, label=f"{what}s of both experiments")


def _score(one: Compared, tests: int, title: str) -> list[Component | str]:
    told = verdict(
        one.difference, one.deviation, one.clusters, tests=tests, higher_is_better=one.higher_is_better
    )
    better, worse = (one.higher, one.lower) if one.higher_is_better else (one.lower, one.higher)
    ends = f"{told.low:+.3f} to {told.high:+.3f}" if told.low is not None and told.high is not None else NONE
    power = "four cases are the least" if told.visible is None else f"differences from {told.visible:.3f}"
    if told.word == "no difference shown" and one.deviation:
        needed = cases_for(_TARGET, one.deviation, tests=tests) * one.n // one.clusters
        power += f"; {count(needed)} cases would show {_TARGET}"
    cases = count(one.n) if one.clusters == one.n else f"{count(one.n)} in {count(one.clusters)} groups"
    return [line(title, 60), badge(told.word, _TONES[told.word]), decimal(one.before), decimal(one.after), f"{one.difference:+.3f}", ends, cases, count(better), count(worse), power]  # fmt: skip


def _cases(view: View, cases: Sequence[Row]) -> Component:
    rows = [
        [
            line(_last(case["question"]), 200), line(_last(case["old_answer"]), 260), line(_last(case["new_answer"]), 260),
            link(decimal(case["old_value"]), view.href(f"/traces/{case['old_trace']}", span=case["old_span"])),
            link(decimal(case["new_value"]), view.href(f"/traces/{case['new_trace']}", span=case["new_span"])),
            f"{case['new_value'] - case['old_value']:+.3f}",
        ]
        for case in cases
    ]  # fmt: skip
    return table(
        [
            C("Question"),
            C("Answer before"),
            C("Answer after"),
            C("Before", number=True),
            C("After", number=True),
            C("Difference", number=True),
        ],
        rows,
        label="Cases",
    )


def _last(content: str) -> str:
    turns = messages(content)
    return " ".join(part.text for part in turns[-1].parts) if turns else ""


def _runs(view: View, found: Sequence[Run]) -> Component:
    rows = [
        [
            line(run.experiment, 80), ", ".join(line(model, 40) for model in run.models), ", ".join(line(prompt, 40) for prompt in run.prompts) or NONE,
            link(count(run.calls), view.href("/calls", experiment=run.experiment)), percent(run.errors, run.calls), usd(run.cost), duration(run.p50_ns),
            f"{count(run.cases - run.failed)} of {count(run.cases)}" if run.cases else NONE, line(run.dataset, 60) or NONE,
            when(run.first_ns, seconds=False),
        ]
        for run in found
    ]  # fmt: skip
    return table(
        [
            C("Experiment"),
            C("Models"),
            C("Prompts"),
            C("Calls", number=True),
            C("Errors", number=True),
            C("Cost", number=True),
            C("p50", number=True),
            C("Cases answered", number=True),
            C("Dataset"),
            C("Began (UTC)", number=True),
        ],
        rows,
        label="Experiments",
    )
