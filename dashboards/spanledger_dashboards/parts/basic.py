"""Cards, panels, badges, tables and empty states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dash import dcc, html
from dash.development.base_component import Component

from spanledger_dashboards.parts.aria import HIDDEN, aria
from spanledger_dashboards.text import line, when

Child = Component | str | None
Children = Child | Sequence[Child]


def page_title(title: str, about: str, *actions: Child) -> Component:
    """The head of a page: what it is, and what one does here."""
    head = html.Div([html.H1(title), html.P(about, className="about")])
    return html.Header([head, html.Div(_some(actions), className="actions")], className="page-title")


def panel(
    title: str, body: Children, *, about: str = "", actions: Children = None, wide: bool = False
) -> Component:
    """A titled box. ``wide`` spans all columns of a grid."""
    head = html.Div(
        [
            html.H2(title),
            html.P(about, className="about") if about else None,
            html.Div(actions, className="actions"),
        ]
    )
    head.className = "panel-head"  # type: ignore[attr-defined]
    return html.Section(
        [head, html.Div(body, className="panel-body")], className="panel wide" if wide else "panel"
    )


def grid(*items: Child, columns: int = 2) -> Component:
    """Boxes beside each other; one column on a narrow screen."""
    return html.Div(_some(items), className=f"grid grid-{columns}")


def stat(
    label: str, value: str, *, about: str = "", href: str = "", tone: str = "", title: str = ""
) -> Component:
    """One number with its name; with an address it leads to the calls behind it."""
    body = [
        html.Span(label, className="stat-label"),
        html.Span(value, className=f"stat-value {tone}".strip(), title=title or None),
        html.Span(about, className="stat-about"),
    ]
    return dcc.Link(body, href=href, className="stat link") if href else html.Div(body, className="stat")


def stats(*items: Child) -> Component:
    """A row of numbers."""
    return html.Div(_some(items), className="stats")


def badge(text: str, tone: str = "grey", title: str = "") -> Component:
    """A small coloured word."""
    return html.Span(line(text, 60), className=f"badge {tone}", title=title or None)


_STATUS_TONE = {"ok": "green", "error": "red", "cut": "amber", "cancelled": "grey"}


def status(text: str, title: str = "") -> Component:
    """A span's status."""
    return badge(text, _STATUS_TONE.get(text, "grey"), title)


def dot(colour: str, text: str) -> Component:
    """A name with the colour it has in every chart."""
    mark = html.Span(className="dot", style={"background": colour})
    return html.Span([mark, line(text, 80)], className="named")


def empty(title: str, next_step: Children, code: str = "") -> Component:
    """Nothing to show: why, and what to do next."""
    parts: list[Child] = [html.H3(title), html.P(next_step)]
    if code:
        parts.append(html.Pre(code, className="code", tabIndex="0"))
    return html.Div(parts, className="empty")


def notice(text: Children, tone: Literal["red", "amber", "blue", "green"] = "blue") -> Component:
    """A sentence the reader must not miss."""
    return html.Div(text, className=f"notice {tone}", role="alert" if tone == "red" else "status")


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers align right with digits of equal width."""

    title: str
    number: bool = False
    about: str = ""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Children]],
    *,
    label: str,
    foot: Sequence[Children] = (),
) -> Component:
    """A plain table: readable with a keyboard and a screen reader, scrolls sideways in its box."""
    head = html.Thead(html.Tr([_head(column) for column in columns]))
    body = html.Tbody([html.Tr(_cells(columns, row)) for row in rows])
    parts: list[Component] = [head, body]
    if foot:
        parts.append(html.Tfoot(html.Tr(_cells(columns, foot))))
    return html.Div(
        html.Table(parts, className="table"),
        className="table-box",
        role="region",
        tabIndex="0",
        **aria(label),
    )


def share(value: float, colour: str = "var(--accent)") -> Component:
    """A bar for a share from 0 to 1, for a table cell; the number stands in the next column."""
    width = f"{max(0.0, min(1.0, value)) * 100:.1f}%"
    return html.Span(html.Span(style={"width": width, "background": colour}), className="share", **HIDDEN)


def link(text: str, href: str, title: str = "") -> Component:
    """An address inside the pages."""
    return dcc.Link(line(text, 120), href=href, className="a", title=title or None)


def moment(ns: int, href: str) -> Component:
    """A time, UTC, that leads somewhere."""
    return dcc.Link(when(ns), href=href, className="a t")


def facts(pairs: Sequence[tuple[str, Children]]) -> Component:
    """Names and values; a pair without a value is left out."""
    items: list[Component] = []
    for name, value in pairs:
        if value not in (None, ""):
            items += [html.Dt(name), html.Dd(value)]
    return html.Dl(items, className="facts")


def chart(name: str, figure: dict[str, Any], label: str) -> Component:
    """A chart whose points lead to calls when clicked, and whose time axis zooms the page when dragged over."""
    graph = dcc.Graph(
        id={"type": "chart", "name": name},
        figure=figure,
        config={"displayModeBar": False, "responsive": True, "doubleClick": False},
        style={"height": f"{figure['layout']['height']}px"},
    )
    return html.Div(graph, className="chart", role="img", **aria(label))


def _head(column: Column) -> Component:
    return html.Th(
        column.title, scope="col", className="n" if column.number else None, title=column.about or None
    )


def _cells(columns: Sequence[Column], row: Sequence[Children]) -> list[Component]:
    return [
        html.Td(cell, className="n" if column.number else None)
        for column, cell in zip(columns, row, strict=True)
    ]


def _some(items: Sequence[Child]) -> list[Child]:
    return [item for item in items if item is not None]


def html_title(text: str, title: str) -> Component:
    """A text that says more on hover."""
    return html.Span(text, title=title)
