"""The semantic tier's part of the Cache page: the bound of each route, how it came about, and hits to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads.asking import Row
from spanledger_collector.store.reads.cache_bound import Standing
from spanledger_collector.store.reads.cache_replay import Replayed
from spanledger_dashboards.colours import BLUE, GREY
from spanledger_dashboards.figures.frame import PERCENT
from spanledger_dashboards.figures.series import Line, lines
from spanledger_dashboards.parts import acting
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import badge, chart, empty, html_title, link, moment, panel, table
from spanledger_dashboards.text import NONE, ago, count, decimal, line
from spanledger_dashboards.view import View

_RULE = '[route.gpt-4o.cache.semantic]\nmax_wrong_hits = 0.01\njudge = { route = "judge" }'
_TONES = {"opened": "green", "loosened": "green", "tightened": "amber", "paused": "amber", "closed": "red"}


def bounds(view: View, tiers: Sequence[Standing], replayed: Sequence[Replayed], now_ns: int) -> Component:
    """Each route's bound beside what is allowed, and what is missing."""
    if not tiers:
        body = empty(
            "No route has a semantic tier that was checked",
            "A route with one records what it would have answered; workers check that, and open the tier once the bound holds.",
            _RULE,
        )
    else:
        columns = [C("Route"), C("State"), C("Wrong hits, at most", number=True), C("Allowed", number=True), C("Served from", number=True),
                   C("Checks", number=True), C("Wrong", number=True), C("Still needed", number=True), C("Past hits checked", number=True), C("Audited", number=True), C("Why"), C("As of")]  # fmt: skip
        past = {found.route: found for found in replayed}
        body = table(
            columns,
            [_row(tier, past.get(tier.route), now_ns) for tier in tiers],
            label="Bounds of the semantic cache",
        )
    about = "with 95 % confidence, of the semantic hits in the window, as the judge sees them; else the tier is closed"
    return panel("The bound on wrong hits", body, about=about, wide=True)


def _row(tier: Standing, past: Replayed | None, now_ns: int) -> list[Component | str]:
    state = (
        badge("open", "green")
        if tier.is_open
        else badge("closed", "amber" if tier.state == "paused" else "grey")
    )
    checks = (
        html_title(count(tier.checks), f"{count(tier.unjudged)} more without a verdict")
        if tier.unjudged
        else count(tier.checks)
    )
    return [
        line(tier.route, 60), state, _share(tier.bound), _share(tier.allowed), decimal(tier.threshold) if tier.is_open else NONE,
        checks, count(tier.wrong), count(tier.needed), _past(past), _share(tier.audit_share), line(tier.message.partition(";")[0], 160), ago(tier.time, now_ns),
    ]  # fmt: skip


def _past(found: Replayed | None) -> Component | str:
    """How many of the calls made before the tier, which it would have answered, are checked."""
    if found is None:
        return NONE
    return html_title(f"{count(found.checked)} of {count(found.met)}", f"{count(found.wrong)} of them wrong")


def bound_history(told: Sequence[Standing]) -> Component:
    """The bound over time, a line a route, beside what was allowed."""
    routes = sorted({standing.route for standing in told})
    if not told:
        return panel(
            "The bound over time", empty("Nothing was measured in this time range", "Widen it above.")
        )
    times = sorted({standing.time // 10**9 for standing in told})
    drawn: list[Line] = []
    for route, colour in zip(
        routes[:6], (BLUE, "#7c5cbf", "#b8692e", "#2e8b8b", "#a83279", "#5c7c2e"), strict=False
    ):
        own = {standing.time // 10**9: standing for standing in told if standing.route == route}
        drawn.append(Line(route, _held(times, own, "bound"), colour))
        drawn.append(Line(f"{route}, allowed", _held(times, own, "allowed"), GREY, dashed=True))
    return panel(
        "The bound over time",
        chart("bound", lines(times, drawn, PERCENT), "Bound on wrong hits over time"),
        about="greatest share of wrong hits not excluded, and what is allowed",
    )


def _held(times: Sequence[int], own: Mapping[int, Standing], name: str) -> list[float | None]:
    """A route's figure at each moment, in per cent: what was told last."""
    values: list[float | None] = []
    last: float | None = None
    for time in times:
        if time in own:
            value = getattr(own[time], name)
            last = None if value is None else 100 * float(value)
        values.append(last)
    return values


def steps(view: View, told: Sequence[Standing]) -> Component:
    """What opened, paused and closed tiers, newest first."""
    shown = [standing for standing in reversed(told) if standing.state != "measured"][:20]
    if not shown:
        return panel(
            "Opened and closed", empty("No tier changed in this time range", "Each step will stand here.")
        )
    rows = [
        [
            moment(step.time, view.href("/events", kind="cache")),
            line(step.route, 60),
            badge(step.state, _TONES.get(step.state, "grey")),
            line(step.message, 300),
        ]
        for step in shown
    ]
    return panel("Opened and closed", table([C("Time (UTC)"), C("Route"), C("Step"), C("Why")], rows, label="Steps of the semantic cache"))  # fmt: skip


def meetings(view: View, met: Sequence[Row], verdicts: Mapping[tuple[str, str], Row]) -> Component:
    """Semantic hits and would-be hits with their verdicts, and buttons that give one."""
    if not met:
        body = empty("No semantic hit or would-be hit", "Questions like earlier ones will show here.")
    else:
        columns = [
            C("Time (UTC)"),
            C("Route"),
            C("Kind"),
            C("Alike", number=True),
            C("Entry of"),
            C("Verdict"),
            C("Yours"),
        ]
        rows = [_meeting(view, row, verdicts.get((row["trace"], row["span"]))) for row in met]
        body = table(columns, rows, label="Semantic hits and would-be hits")
    about = "a wrong one's entry is deleted, and it counts as a wrong check; a right one counts where it was checked anyway"
    return panel("Hits and would-be hits to look at", body, about=about, wide=True)


def _meeting(view: View, row: Row, verdict: Row | None) -> list[Component | str]:
    origin = row["origin_trace"]
    of = {"trace": str(row["trace"]), "span": str(row["span"]), "entry": str(row["entry"])}
    kind = {"semantic": badge("hit", "blue"), "replay": badge("in a replay", "grey")}
    yes = acting.button(view, "cache_right", "Right", of)
    no = acting.button(view, "cache_wrong", "Wrong", of)
    return [
        moment(row["start_ns"], view.href(f"/traces/{row['trace']}", span=row["span"])),
        line(row["route"], 60),
        kind.get(row["cache"], badge("would be", "grey")),
        decimal(row["similarity"]),
        link("its call", view.href(f"/traces/{origin}")) if origin else NONE,
        _verdict(verdict),
        html.Div([yes, no]) if yes and no else NONE,
    ]


def _verdict(verdict: Row | None) -> Component | str:
    if verdict is None:
        return badge("not checked", "grey")
    if verdict["value"] is None:
        return badge(str(verdict["status"]), "amber", line(verdict["explanation"], 200))
    right = float(verdict["value"]) >= 0.5
    by = {"judge": "by the judge", "match": "by equal text" if right else "texts differ, no judge"}.get(
        verdict["source"], "by a person"
    )
    return badge(
        f"{'right' if right else 'wrong'}, {by}",
        "green" if right else "red",
        line(verdict["explanation"], 200),
    )


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.2f} %"
