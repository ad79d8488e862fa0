"""Registry: every document a person configures, its history, what each version changed, and the way back."""

from __future__ import annotations

import json
from collections.abc import Sequence

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from spanledger_collector.store.registry.documents import KINDS
from spanledger_collector.store.registry.plan import Difference, Version, differences
from spanledger_dashboards.documents import documents, history
from spanledger_dashboards.editing import ACCESS_KINDS
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.aria import aria
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    empty,
    html_title,
    link,
    notice,
    page_title,
    panel,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.text import NONE, ago, count, line, plain, when
from spanledger_dashboards.view import View

EDITOR, NOTE, SAVE, SAID, BASE = (
    "registry-editor",
    "registry-note",
    "registry-save",
    "registry-said",
    "registry-base",
)


async def render(view: View) -> Component:
    """All documents, or one with its versions when the address names it."""
    kind, name = view.get("kind"), view.get("name")
    if kind in KINDS and name:
        return await _one(view, kind, name)
    found = await read(view, documents, [kind] if kind in KINDS else [])
    title = page_title(
        "Registry",
        "Everything a person configures. A change is a new version, so nothing is ever lost and every change has an author.",
    )
    bar = filters.bar(view, filters.select(view, "kind", "Kind", list(KINDS)))
    if not found:
        body = empty(
            "No document here yet",
            "Write TOML and apply it; the same file again changes nothing.",
            "spanledger apply --dry-run registry.toml\nspanledger apply registry.toml",
        )
    else:
        rows = [
            [
                link(version.name, view.href(kind=version.kind, name=version.name)), version.kind,
                badge("all projects", "blue") if version.project == "*" else line(version.project, 40), count(version.version),
                html_title(ago(version.time, view.now), when(version.time)), line(version.author, 40) or NONE, line(version.note, 120),
            ]
            for version in found
        ]  # fmt: skip
        columns = [
            C("Name"),
            C("Kind"),
            C("Project"),
            C("Version", number=True),
            C("Changed", number=True),
            C("By"),
            C("Note"),
        ]
        body = panel(
            "Documents",
            table(columns, rows, label="Documents"),
            about=f"{count(len(found))} as they stand",
            wide=True,
        )
    return html.Div([title, bar, body], className="page")


PAGE = Page("/registry", "Registry", render, "Operate")


async def _one(view: View, kind: str, name: str) -> Component:
    versions = await read(view, history, kind, name)
    title = page_title(
        line(name, 100),
        f"{kind} · {count(len(versions))} version{'s' if len(versions) != 1 else ''}",
        link("All documents", view.href("/registry", kind=None, name=None)),
    )
    if not versions:
        return html.Div(
            [
                title,
                empty(
                    "There is no such document in this project",
                    "It may belong to another project, or the name is mistyped.",
                ),
            ],
            className="page",
        )
    now = versions[0]
    asked = view.get("version")
    shown = next((version for version in versions if str(version.version) == asked), now)
    before = next((version for version in versions if version.version == shown.version - 1), None)
    editable = view.admin and kind not in ACCESS_KINDS and now.project == view.project
    parts: list[Component] = [
        title,
        html.Div(
            [
                html.Div([panel(f"Version {shown.version}", _document(shown), about=_about(shown, view)), panel(f"What version {shown.version} changed", _differences(before, shown))], className="main-column"),
                html.Div([panel("History", _history(view, versions, shown))], className="side-column"),
            ],
            className="two-columns",
        ),
    ]  # fmt: skip
    if editable:
        parts.append(_editor(shown, now))
    elif view.admin:
        parts.append(
            notice("Keys and documents shared by all projects are changed with spanledger apply, not here.")
        )
    else:
        parts.append(
            notice(
                "Your key may read. Sign in with an admin key to change this document or to go back to a version."
            )
        )
    return html.Div(parts, className="page")


def _about(version: Version, view: View) -> str:
    return " · ".join(
        part
        for part in (
            when(version.time) + " UTC",
            "by " + (line(version.author, 40) or "unknown"),
            line(version.note, 120),
        )
        if part
    )


def _document(version: Version) -> Component:
    if version.deleted:
        return html.P("This version deleted the document.", className="about")
    return html.Pre(plain(_text(version), 60_000), className="code", tabIndex="0", **aria("The document"))


def _text(version: Version) -> str:
    return json.dumps(version.document, ensure_ascii=False, indent=2, sort_keys=True)


def _differences(before: Version | None, after: Version) -> Component:
    found = list(differences(before.document if before else {}, after.document))
    if not found:
        return html.P("Nothing: the document was deleted or restored as it was.", className="about")
    rows = [_difference(one) for one in found[:200]]
    return table([C("Field"), C("Before"), C("After")], rows, label="Changed fields")


def _difference(one: Difference) -> list[Child]:
    before, after = _value(one.before), _value(one.after)
    return [
        html.Code(line(one.path, 120)),
        html.Del(before) if before else "",
        html.Ins(after) if after else "",
    ]


def _value(value: object) -> str:
    if value is None:
        return ""
    return line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 300)


def _history(view: View, versions: Sequence[Version], shown: Version) -> Component:
    items = [
        html.Li(
            dcc.Link(
                [
                    html.Strong(f"Version {version.version}"), badge("deleted", "red") if version.deleted else "",
                    html.Span(f"{ago(version.time, view.now)} by {line(version.author, 40) or 'unknown'}", className="about"),
                    html.Span(line(version.note, 120), className="about"),
                ],
                href=view.href(version=str(version.version)), className="version here" if version is shown else "version",
            )
        )
        for version in versions[:200]
    ]  # fmt: skip
    return html.Ol(items, className="versions")


def _editor(shown: Version, now: Version) -> Component:
    back = shown is not now
    about = (
        f"saves version {shown.version} as version {now.version + 1}"
        if back
        else f"saves as version {now.version + 1}"
    )
    body = [
        dmc.Textarea(id=EDITOR, label="Document (JSON)", value=_text(shown), autosize=True, minRows=5, maxRows=26, styles={"input": {"fontFamily": "var(--mono)", "fontSize": "12px"}}),
        dmc.TextInput(id=NOTE, label="Why", value=f"rollback to version {shown.version}" if back else "", placeholder="for the audit trail"),
        html.Div([html.Button("Go back to this version" if back else "Save", id=SAVE, className="button primary", n_clicks=0), html.Div(id=SAID, role="status")], className="summary"),
        dcc.Store(id=BASE, data={"kind": now.kind, "name": now.name, "version": now.version}),
    ]  # fmt: skip
    return panel("Go back" if back else "Change", html.Div(body, className="form"), about=about, wide=True)
