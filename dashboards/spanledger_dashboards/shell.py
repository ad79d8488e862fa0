"""What stands around every page: the menu, the project, the time range, the theme. In: the viewer; out: a layout."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from .pages import PAGES
from .parts.aria import HIDDEN, aria
from .session import Viewer
from .view import DEFAULT_RANGE, RANGES

THEME: Any = {
    "primaryColor": "teal",
    "fontFamily": "var(--font)",
    "fontFamilyMonospace": "var(--mono)",
    "defaultRadius": "sm",
}


def layout(viewer: Viewer) -> Component:
    """The whole document body but for the page itself, which the router puts into the middle."""
    page = dcc.Loading(
        dash.page_container,
        delay_show=350,
        overlay_style={"visibility": "visible", "opacity": 0.55},
        custom_spinner=html.Div(className="busy", role="status", **aria("Loading")),
    )
    return dmc.MantineProvider(
        html.Div(
            [
                html.A("Skip to the page", href="#main", className="skip"),
                _header(viewer),
                html.Nav(_menu(), className="menu", **aria("Pages")),
                html.Main([html.Div(id="problem"), page], id="main", tabIndex="-1"),
                dcc.Interval(id="tick", interval=15_000, disabled=True),
                html.Div(id="sink", hidden=True),
            ],
            className="shell",
        ),
        theme=THEME,
        defaultColorScheme="auto",
    )


def _header(viewer: Viewer) -> Component:
    projects = [{"value": name, "label": name} for name in viewer.projects]
    ranges = [{"value": name, "label": label} for name, (label, _) in RANGES.items()]
    return html.Header(
        [
            dcc.Link([html.Span(className="logo", **HIDDEN), "Spanledger"], href="/", className="brand"),
            html.Div(className="spring"),
            _saved(),
            html.Span(id="range-text", className="about"),
            dmc.Select(id={"type": "shared", "name": "range"}, data=[*ranges, {"value": "custom", "label": "Custom"}],
                       value=DEFAULT_RANGE, size="xs", w=150, allowDeselect=False, **aria("Time range")),
            dmc.Switch(id="live", size="xs", label="Live", **aria("Follow what comes in: calls every 2 seconds, other pages every 15")),
            dmc.Select(id={"type": "shared", "name": "project"}, data=projects, value=viewer.projects[0], size="xs",
                       w=140, allowDeselect=False, **aria("Project")),
            dmc.ColorSchemeToggle(lightIcon="☀", darkIcon="☾", variant="subtle", color="gray", size="md",
                                  **aria("Light or dark")),
            html.A("Sign out", href="/signout", className="a"),
        ],
        className="top",
    )  # fmt: skip


def _saved() -> Component:
    """Named addresses, kept by this browser: filters, project and time range as they stand."""
    body = [
        html.Ul(id="saved-list", className="saved-list"),
        html.Div(
            [
                dmc.TextInput(id="saved-name", placeholder="name of this view", size="xs", **aria("Name of this view")),
                html.Button("Save", id="saved-save", className="button", n_clicks=0),
                html.Button("Remove", id="saved-drop", className="button", n_clicks=0, title="Removes the view of this name"),
            ],
            className="summary",
        ),
    ]  # fmt: skip
    return html.Details(
        [html.Summary("Views", className="button"), html.Div(body, className="drop"), dcc.Store(id="saved", storage_type="local")],
        className="saved",
    )  # fmt: skip


def _menu() -> list[Component]:
    parts: list[Component] = []
    shown = [page for page in PAGES if page.group]
    for group, pages in groupby(shown, key=lambda page: page.group):
        parts.append(html.H2(group, className="group"))
        items = [
            html.Li(
                dcc.Link(page.title, href=page.path, id={"type": "menu", "path": page.path}, className="item")
            )
            for page in pages
        ]
        parts.append(html.Ul(items))
    return parts
