"""Datasets: named sets of cases, their versions, and what a case holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.documents import documents
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import empty, link, page_title, panel, table
from spanledger_dashboards.text import ago, count, line
from spanledger_dashboards.view import View

_RULE = '[dataset.refunds]\ndescription = "Questions about refunds"\ncases = [{ input = "How long do refunds take?", expected = "five working days" }]'
_SHOWN = 200


async def render(view: View) -> Component:
    """All datasets, or the cases of one when the address names it."""
    found = await read(view, documents, ["dataset"])
    title = page_title(
        "Datasets", "Cases to try a version on. A dataset is a registry document: every change is a version."
    )
    if not found:
        return html.Div(
            [
                title,
                empty(
                    "No dataset yet, in any time range",
                    "Write one and apply it: spanledger apply datasets.toml",
                    _RULE,
                ),
            ],
            className="page",
        )
    bar = filters.bar(view, filters.select(view, "name", "Dataset", [version.name for version in found]))
    one = next((version for version in found if version.name == view.get("name")), None)
    body = _cases(view, one) if one else panel("Datasets", _list(view, found), wide=True)
    return html.Div([title, bar, body], className="page")


PAGE = Page("/datasets", "Datasets", render, "Quality")


def _list(view: View, found: Sequence[Version]) -> Component:
    rows = [
        [link(version.name, view.href(name=version.name)), line(str(version.document.get("description", "")), 160), count(len(version.document.get("cases", []))), count(version.version), ago(version.time, view.now), line(version.author, 40)]
        for version in found
    ]  # fmt: skip
    return table(
        [
            C("Dataset"),
            C("About"),
            C("Cases", number=True),
            C("Version", number=True),
            C("Changed", number=True),
            C("By"),
        ],
        rows,
        label="Datasets",
    )


def _cases(view: View, version: Version) -> Component:
    cases: list[Mapping[str, Any]] = version.document.get("cases", [])
    names = list(dict.fromkeys(name for case in cases[:_SHOWN] for name in case))[:6]
    if not names:
        return panel(
            line(version.name, 80),
            empty("This dataset holds no case", "Add cases to its document, then apply it again."),
            wide=True,
        )
    rows = [[line(_value(case.get(name)), 240) for name in names] for case in cases[:_SHOWN]]
    about = f"{count(len(cases))} cases" + (f", the first {_SHOWN} shown" if len(cases) > _SHOWN else "")
    history = link("History", view.href("/registry", kind="dataset", name=version.name))
    return panel(
        line(version.name, 80),
        table([C(line(name, 40)) for name in names], rows, label="Cases"),
        about=about,
        actions=history,
        wide=True,
    )


def _value(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
