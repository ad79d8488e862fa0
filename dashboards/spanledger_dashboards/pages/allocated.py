"""Who bears the spend once allocation rules are applied, and what stays with nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import get_args

from dash import html
from dash.development.base_component import Component

from spanledger_collector.finance.allocation import Allocated, allocate, needed, unallocated
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.finance_documents import allocations
from spanledger_collector.store.reads.ledger import Ask
from spanledger_collector.store.registry.finance import Target
from spanledger_dashboards.cash import Cash
from spanledger_dashboards.here import read
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import panel, table
from spanledger_dashboards.text import line, percent
from spanledger_dashboards.top import UNNAMED
from spanledger_dashboards.view import View

_SHOWN = 50


async def allocated(view: View, by: str, only: Mapping[str, str], money: Cash) -> list[Component]:
    """A panel where spend is shown by what rules allocate to; what names nobody is shown with rules and without."""
    if by not in get_args(Target):
        return []
    rules = [rule for rule in await read(view, allocations) if rule.to == by]
    names = needed([by], rules)
    found = await read(view, ledger.sums, view.window, names, which=Ask(only=dict(only)), rates=money.rates)
    lines = allocate(found, names, [by], rules)
    whole = sum((entry.cost for entry in lines), Decimal(0))
    left = unallocated(lines, [by], by)
    about = (
        f"{money.text(left)} ({percent(float(left), float(whole))}) stays with nobody"
        if whole
        else "nothing to bear"
    )
    if not rules:
        return [panel(f"Without a {by.removesuffix('_id')}", html.P(f"{about}. A document of kind allocation says who bears it.", className="about"), wide=True)]  # fmt: skip
    return [
        panel(
            "Who bears it",
            _table(by, lines, whole, money),
            about=f"{len(rules)} allocation rules applied; {about}",
            wide=True,
        )
    ]


def _table(by: str, lines: Sequence[Allocated], whole: Decimal, money: Cash) -> Component:
    rows = [
        [
            line(entry.group[0], 60) or UNNAMED,
            money.shown(entry.own.cost),
            money.shown(entry.moved) if entry.moved else "",
            money.shown(entry.cost),
            percent(float(entry.cost), float(whole)) if whole else "",
        ]
        for entry in lines[:_SHOWN]
    ]
    columns = [C(by.removesuffix("_id").capitalize()), C("Its own", number=True), C("Allocated", number=True), C("Bears", number=True), C("Share", number=True)]  # fmt: skip
    return table(
        columns, rows, label=f"Spend by {by} with allocation", foot=["Total", "", "", money.text(whole), ""]
    )
