"""RAG: what answers stood on: how much was retrieved, how old it was, which sources serve good answers and bad ones."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import quality, retrieval
from spanledger_collector.store.reads.asking import Row
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import (
    Children,
    badge,
    empty,
    html_title,
    page_title,
    panel,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.text import NONE, count, decimal, duration, line, percent
from spanledger_dashboards.view import View

AGES = {"7": "7 days", "30": "30 days", "90": "90 days", "180": "180 days", "365": "one year"}
_CODE = """with spanledger.span("retrieve", operation="retrieval") as span:
    span.documents([{"id": "kb-7", "content": text, "score": 0.91, "source": "handbook.md",
                     "updated_at": "2026-10-01", "version": "3"}])"""


async def render(view: View) -> Component:
    """Sums, and every source with its age and the score of the answers it was used for."""
    days = view.get("stale") if view.get("stale") in AGES else "90"
    names = [one.slice for one in await read(view, quality.score_slices, view.window, "name")]
    score = view.get("score") or next(
        (name for name in names if "ground" in name or "faith" in name), names[0] if names else ""
    )
    sums, found = await gather(
        read(view, retrieval.retrieved, view.window, int(days) * 86_400),
        read(view, retrieval.sources, view.window, score),
    )
    title = page_title(
        "RAG",
        "What answers stood on: a good answer needs sources that are there, fit the question, and are not out of date.",
    )
    bar = filters.bar(
        view,
        filters.select(view, "stale", "Out of date after", [*AGES.items()], "90"),
        filters.select(view, "score", "Beside the score", names, score),
    )
    if not sums.parts:
        return html.Div(
            [
                title,
                bar,
                empty(
                    "No retrieved sources in this time range",
                    "Widen the time range above, or record what you retrieve; sources with updated_at show their age.",
                    _CODE,
                ),
            ],
            className="page",
        )
    return html.Div(
        [
            title,
            bar,
            stats(
                stat("Calls with sources", count(sums.calls), about=f"{sums.parts / sums.calls:.1f} sources each"),
                stat("Different sources", count(sums.sources)),
                stat("Retrieval score", decimal(sums.mean_score), about="mean, as the retriever said"),
                stat("Age p50", _age(sums.age_p50_s), about=f"95 % are younger than {_age(sums.age_p95_s)}"),
                stat("Calls on stale sources", percent(sums.stale_calls, sums.calls), about=f"older than {AGES[days]}", tone="amber" if sums.stale_calls else ""),
                stat("Without a date", percent(sums.undated, sums.parts), about="of sources: their age is unknown"),
            ),
            panel("Sources", _sources(found, score, int(days) * 86_400), about=f"most used first, of the newest {retrieval.SAMPLE:,} calls", wide=True),
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/rag", "RAG", render, "Quality")


def _age(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds * 1e9)


def _sources(found: Sequence[Row], score: str, stale_s: int) -> Component:
    rows: list[list[Children]] = [
        [
            line(row["source"], 100) or "(unnamed)", count(row["uses"]), line(row["newest"], 40) or NONE,
            badge(f"{row['versions']} versions", "amber", "Answers in this time range stood on different versions.") if row["versions"] > 1 else "",
            row["updated"].strftime("%Y-%m-%d") if row["updated"] else NONE,
            [badge("stale", "amber"), " ", _age(row["oldest_s"])] if row["oldest_s"] is not None and row["oldest_s"] > stale_s else _age(row["oldest_s"]),
            decimal(row["mean_score"]),
            html_title(decimal(row["quality"] if row["judged"] else None), f"{row['judged']} judged answers"),
        ]
        for row in found
    ]  # fmt: skip
    columns = [C("Source"), C("Used", number=True), C("Newest version"), C("Versions"), C("Updated"), C("Greatest age when used", number=True), C("Retrieval score", number=True), C(line(score, 40) or "Score", number=True)]  # fmt: skip
    return table(columns, rows, label="Sources")
