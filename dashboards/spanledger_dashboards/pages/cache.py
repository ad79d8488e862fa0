"""Cache: how often it answered, what that saved after its own costs, and the latest hits to look at."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from time import time_ns

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import cache_bound, cache_checks, cache_replay, serving
from spanledger_collector.store.reads.asking import Row
from spanledger_collector.store.reads.cache_checks import CheckSpend
from spanledger_collector.store.reads.serving import CacheUse
from spanledger_dashboards.colours import BLUE, GREEN, GREY
from spanledger_dashboards.figures.frame import COUNT, money_unit
from spanledger_dashboards.figures.series import stacked
from spanledger_dashboards.here import read
from spanledger_dashboards.messages import excerpt, messages
from spanledger_dashboards.pages import cache_bound as bound
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import (
    badge,
    chart,
    empty,
    grid,
    moment,
    page_title,
    panel,
    share,
    stat,
    stats,
    table,
)
from spanledger_dashboards.text import NONE, count, decimal, duration, line, percent, usd, usd_exact
from spanledger_dashboards.top import UNNAMED
from spanledger_dashboards.view import View

_RULE = '[route.gpt-4o]\ntargets = [{ upstream = "openai", model = "gpt-4o" }]\ncache = { exact = true, ttl_s = 3600 }'


async def render(view: View) -> Component:
    """Sums, hits over time, routes and teams, latest hits."""
    step = view.window.step_s(points=45)
    (whole, series, routes), (teams, hits, spent), (tiers, told, met) = await gather(
        gather(
            read(view, serving.cache_use, view.window),
            read(view, serving.cache_use, view.window, "", step),
            read(view, serving.cache_use, view.window, "route"),
        ),
        gather(
            read(view, serving.cache_use, view.window, "team"),
            read(view, serving.cache_hits, view.window),
            read(view, cache_checks.check_spend, view.window),
        ),
        gather(
            read(view, cache_bound.standings),
            read(view, cache_bound.history, view.window),
            read(view, cache_checks.meetings, view.window),
        ),
    )
    title = page_title(
        "Cache", "Answers given again instead of asked again: exact repeats, and questions judged alike."
    )
    verdicts, replayed = await gather(
        read(view, cache_checks.verdicts_about, [row["trace"] for row in met]),
        read(view, cache_replay.replayed, [tier.route for tier in tiers]),
    )
    if not whole and not tiers:
        return html.Div(
            [
                title,
                empty(
                    "No call met the cache in this time range",
                    "Widen the time range above, or switch the cache on for a route and send its calls through the gateway.",
                    _RULE,
                ),
            ],
            className="page",
        )
    return html.Div(
        [
            title,
            _numbers(whole[0], spent) if whole else None,
            bound.bounds(view, tiers, replayed, time_ns()),
            grid(
                panel("Calls that met the cache", chart("cache", _hits_figure(view, series, step), "Cache hits and misses over time"), about="exact hits, semantic hits, misses"),
                panel("Saved", chart("saved", _saved_figure(view, series, step), "Money saved over time"), about="USD not spent, before the cache's own costs"),
                panel("By route", _groups(routes, "Route")),
                panel("By team", _groups(teams, "Team")),
            ),
            grid(bound.bound_history(told), bound.steps(view, told)) if tiers else None,
            bound.meetings(view, met, verdicts) if met else None,
            panel("Latest hits", _hits(view, hits), about="is this the right answer to this question?", wide=True),
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/cache", "Cache", render, "Trace")


def _numbers(use: CacheUse, spent: CheckSpend) -> Component:
    met = use.hits + use.missed
    return stats(
        stat("Hit rate", percent(use.hits, met), about=f"{count(use.hits)} of {count(met)} calls"),
        stat("Exact hits", count(use.exact)),
        stat("Semantic hits", count(use.semantic)),
        stat("Saved", usd(use.saved), title=usd_exact(use.saved), about=f"{count(use.unpriced)} hits without a price" if use.unpriced else "at the price of asking again"),
        stat("Saved, net", usd(use.saved - spent.cost), about=_own_cost(spent), title=_cost_parts(spent)),
        stat("A hit takes", duration(use.hit_p50_ns), about=f"a miss {duration(use.miss_p50_ns)} (p50)"),
    )  # fmt: skip


def _own_cost(spent: CheckSpend) -> str:
    if not spent.verdicts and not spent.asked and not spent.embedded:
        return "no check was made"
    unpriced = f", {count(spent.unpriced)} without a price" if spent.unpriced else ""
    return f"{count(spent.verdicts)} checks and {count(spent.embedded)} embeddings cost {usd(spent.cost)}{unpriced}"


def _cost_parts(spent: CheckSpend) -> str:
    parts = {
        "fresh answers": spent.asked_cost,
        "judging": spent.judged_cost,
        "embeddings": spent.embedding_cost,
    }
    return ", ".join(f"{name} {usd_exact(cost)}" for name, cost in parts.items())


def _hits_figure(view: View, series: Sequence[CacheUse], step: int) -> dict[str, object]:
    at = {use.bucket: use for use in series}
    buckets = list(view.window.buckets(step))
    parts = {
        "exact": [float(at[b].exact) if b in at else 0.0 for b in buckets],
        "semantic": [float(at[b].semantic) if b in at else 0.0 for b in buckets],
        "miss": [float(at[b].missed) if b in at else 0.0 for b in buckets],
    }
    links = {name: [view.zoomed("/calls", b, step, cache=name) for b in buckets] for name in parts}
    return stacked(buckets, parts, {"exact": GREEN, "semantic": BLUE, "miss": GREY}, COUNT, links=links)


def _saved_figure(view: View, series: Sequence[CacheUse], step: int) -> dict[str, object]:
    at = {use.bucket: float(use.saved) for use in series}
    buckets = list(view.window.buckets(step))
    values = [at.get(b, 0.0) for b in buckets]
    return stacked(buckets, {"saved": values}, {"saved": GREEN}, money_unit(values))


def _groups(uses: Sequence[CacheUse], what: str) -> Component:
    rows = [
        [line(use.group, 60) or UNNAMED, share(use.hits / (use.hits + use.missed) if use.hits + use.missed else 0), percent(use.hits, use.hits + use.missed), count(use.hits), usd(use.saved)]
        for use in uses
    ]  # fmt: skip
    return table(
        [C(what), C("Share"), C("Hit rate", number=True), C("Hits", number=True), C("Saved", number=True)],
        rows,
        label=f"Cache by {what.lower()}",
    )


def _hits(view: View, hits: Sequence[Row]) -> Component:
    if not hits:
        return empty("No hit yet", "The first repeat of a question will show here.")
    rows = [
        [
            moment(row["start_ns"], view.href(f"/traces/{row['trace']}", span=row["span"])),
            badge(row["cache"], "green" if row["cache"] == "exact" else "blue"),
            line(_question(row["input_start"]), 160), line(excerpt(row["output_start"]), 160),
            decimal(row["cache_similarity"]) if row["cache_similarity"] is not None else NONE,
            duration(row["cache_age_ns"]), usd(row["cost_saved"]),
        ]
        for row in hits
    ]  # fmt: skip
    columns = [C("Time (UTC)"), C("Kind"), C("Question"), C("Answer given"), C("Alike", number=True), C("Age", number=True), C("Saved", number=True)]  # fmt: skip
    return table(columns, rows, label="Latest cache hits")


def _question(start: str) -> str:
    """The last user turn where the prompt is whole, else its first words."""
    turns = [message for message in messages(start) if message.role == "user"]
    return " ".join(part.text for part in turns[-1].parts) if turns else excerpt(start)
