"""Statements: what each team is charged for a month, what a unit cost, what changed, and who signed it. It prints."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.books import closing
from spanledger_collector.finance.statement import Statement, Unit
from spanledger_collector.finance.variance import Change
from spanledger_collector.store.finance import adjustments
from spanledger_collector.store.reads.asking import Row
from spanledger_dashboards.here import read
from spanledger_dashboards.months import after, choices, month_of
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import acting, filters
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    empty,
    grid,
    link,
    notice,
    page_title,
    panel,
    share,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.text import count, line, percent, short, usd, usd_exact
from spanledger_dashboards.top import UNNAMED
from spanledger_dashboards.view import View

_PARTS = {
    "volume": "the same traffic, more or less of it",
    "price": "other rates for the same tokens",
    "mix": "other models, longer answers",
    "cache": "another share of prompts read from the cache",
    "other": "what no tokens stand for: idle GPUs, adjustments",
}
_SHOWN = 200


async def render(view: View) -> Component:
    """One month, of all teams or of one."""
    month = month_of(view, before=1)
    team = view.filters.get("team")
    told, teams, booked = await gather(
        read(view, closing.statement, month, team, score=view.get("score")),
        read(view, closing.teams, month),
        read(view, adjustments.stored, month, after(month)),
    )
    kept = {"month": f"{month:%Y-%m}", "team": team}
    controls = [
        filters.select(view, "month", "Month", choices(view), f"{month:%Y-%m}"),
        filters.select(view, "team", "Team", [name for name in teams if name]),
        filters.search(view, "score", "Resolved by score", "name of a score", 150),
    ]
    title = page_title(
        "Statements",
        f"{month:%B %Y}, {line(team, 60) if team else 'all teams'}, in US dollars. Print this page, or take it as CSV.",
        html.A("Download CSV", href=view.href("/export/statement.csv", **kept), className="button", download="statement.csv"),
    )  # fmt: skip
    if not told.lines:
        nothing = empty("No spend in this month", "Choose another month or team. Calls are charged to the team their key or attribute names.")  # fmt: skip
        return html.Div([title, filters.bar(view, *controls), nothing], className="page")
    return html.Div(
        [
            title,
            filters.bar(view, *controls),
            notice(f"The ledger no longer tells what was signed: {told.differs}.", "red") if told.differs else None,
            _numbers(told),
            _state(view, told, month),
            panel("Charges", _lines(view, told), about="dearest first", wide=True),
            grid(
                panel("What changed since the month before", _change(told.change), about="parts add up exactly"),
                panel("Budgets", _budgets(told), about="of this month"),
            ),
            grid(
                panel("Unit cost by feature", _units(told.features, "Feature"), about="USD a call, conversation, resolved answer"),
                panel("Unit cost by customer", _units(told.customers, "Customer"), about="USD a call, conversation, resolved answer"),
            ),
            panel("Adjustments", _booked(booked, team), about="bookings that are no calls", wide=True),
        ],
        className="page printed",
    )  # fmt: skip


PAGE = Page("/statements", "Statements", render, "Money")


def _numbers(told: Statement) -> Component:
    calls = sum(entry.calls for entry in told.lines)
    saved = sum((entry.saved for entry in told.lines), Decimal(0))
    return stats(
        stat("Charged", usd(told.cost), title=usd_exact(told.cost), about=f"{usd(told.change.total)} more than the month before" if told.change.total >= 0 else f"{usd(-told.change.total)} less than the month before"),
        stat("Calls", count(calls)),
        stat("Tokens", short(sum(entry.tokens_in + entry.tokens_out for entry in told.lines))),
        stat("Saved by the cache", usd(saved)),
        stat("Unpriced calls", count(told.unpriced), tone="amber" if told.unpriced else "", about="in no sum" if told.unpriced else "every call has a price"),
    )  # fmt: skip


def _state(view: View, told: Statement, month: date) -> Component:
    of = {"month": f"{month:%Y-%m}"}
    if told.state == "closed":
        words: list[Child] = [badge("closed", "green"), html.Span(f"Signed by {line(told.signed_by, 60)}; it counts what was known before {told.cutoff}, and adjustments.", className="about")]  # fmt: skip
        late = acting.button(
            view, "reopen_month", "Book what came later", of,
            acting.text_field("reopen_month", "why", "Why", of, width=220),
        )  # fmt: skip
        return html.Div([*words, late], className="summary")
    close = acting.button(
        view,
        "close_month",
        "Close the month",
        of,
        acting.text_field("close_month", "note", "Note", of, width=220),
    )
    return html.Div(
        [badge("open", "amber"), html.Span("Figures follow what becomes known until somebody closes the month.", className="about"), close],
        className="summary",
    )  # fmt: skip


def _lines(view: View, told: Statement) -> Component:
    total = told.cost
    rows: list[list[Child]] = [
        [
            line(entry.team, 60) or UNNAMED, entry.category, line(entry.provider, 40), line(entry.model, 60) or UNNAMED, count(entry.calls),
            short(entry.tokens_in), short(entry.tokens_out), html.Span(usd(entry.cost), title=usd_exact(entry.cost)),
            percent(float(entry.cost), float(total)) if total else "", count(entry.unpriced) if entry.unpriced else "",
        ]
        for entry in told.lines[:_SHOWN]
    ]  # fmt: skip
    columns = [C("Team"), C("Category"), C("Provider"), C("Model"), C("Calls", number=True), C("Tokens in", number=True), C("Tokens out", number=True), C("Cost", number=True), C("Share", number=True), C("Unpriced", number=True)]  # fmt: skip
    start = f"{told.month}T00:00:00Z"
    spend = view.href(
        "/spend",
        range=None,
        from_=start,
        to=f"{after(told.month)}T00:00:00Z",
        **({"team": told.team} if told.team else {}),
    )
    foot: list[Child] = ["Total", "", "", link("Its spend", spend), count(sum(e.calls for e in told.lines)), "", "", html.Span(usd(total), title=usd_exact(total)), "", ""]  # fmt: skip
    return table(columns, rows, label="Charges by team, category and model", foot=foot)


def _change(change: Change) -> Component:
    widest = max((abs(value) for _, value in change.parts()), default=Decimal(0))
    rows: list[list[Child]] = [
        ["The month before", "", html.Span(usd(change.before), title=usd_exact(change.before)), ""]
    ]
    rows += [
        [
            name.capitalize(),
            share(float(abs(value) / widest) if widest else 0),
            html.Span(usd(value), title=usd_exact(value)),
            _PARTS[name],
        ]
        for name, value in change.parts()
    ]
    foot: list[Child] = ["This month", "", html.Span(usd(change.after), title=usd_exact(change.after)), ""]
    return table(
        [C("Part"), C("Size"), C("USD", number=True), C("What it is")],
        rows,
        label="Change since the month before",
        foot=foot,
    )


def _budgets(told: Statement) -> Component:
    if not told.budgets:
        return empty(
            "No monthly budget here", "Budgets with this team in their scope show beside what was spent."
        )
    rows: list[list[Child]] = [
        [line(entry.name, 60), usd(entry.amount), html.Span(usd(entry.spent), title=usd_exact(entry.spent)), usd(entry.left), percent(float(entry.spent), float(entry.amount)) if entry.amount else ""]
        for entry in told.budgets
    ]  # fmt: skip
    columns = [
        C("Budget"),
        C("Amount", number=True),
        C("Spent", number=True),
        C("Left", number=True),
        C("Used", number=True),
    ]
    return table(columns, rows, label="Budgets against spend")


def _units(units: Sequence[Unit], name: str) -> Component:
    named = [unit for unit in units if unit.group] or list(units)
    rows: list[list[Child]] = [
        [line(unit.group, 60) or UNNAMED, html.Span(usd(unit.cost), title=usd_exact(unit.cost)), count(unit.calls), usd(unit.per_call),
         count(unit.conversations), usd(unit.per_conversation), count(unit.resolved) if unit.resolved is not None else "", usd(unit.per_resolved)]
        for unit in named[:25]
    ]  # fmt: skip
    columns = [C(name), C("Cost", number=True), C("Calls", number=True), C("A call", number=True), C("Conversations", number=True), C("A conversation", number=True), C("Resolved", number=True), C("A resolved answer", number=True)]  # fmt: skip
    return table(columns, rows, label=f"Unit cost by {name.lower()}")


def _booked(rows: Sequence[Row], team: str | None) -> Component:
    mine = [row for row in rows if team is None or row["team"] == team]
    if not mine:
        return empty(
            "No adjustment in this month",
            "Accepted differences to a bill, corrections of a closed month and bookings by hand show here.",
        )
    cells: list[list[Child]] = [
        [str(row["day"]), str(row["kind"]).replace("_", " "), line(str(row["team"]), 40), line(str(row["model"]), 40),
         html.Span(usd(Decimal(row["cost"])), title=usd_exact(Decimal(row["cost"]))), line(str(row["reason"]), 160), line(str(row["author"]), 40)]
        for row in mine[:_SHOWN]
    ]  # fmt: skip
    columns = [C("Day"), C("Kind"), C("Team"), C("Model"), C("Cost", number=True), C("Why"), C("By")]
    return table(columns, cells, label="Adjustments")
