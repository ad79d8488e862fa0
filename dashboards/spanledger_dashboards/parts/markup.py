"""A page's tree in; HTML to look at until the browser has started the page itself, out.

Every text and attribute is escaped and only harmless attributes are written: what a prompt or an answer says stays text. What
has state (filters, charts) leaves its room empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, cast

from dash import dcc
from dash.development.base_component import Component

from .still import Node, Still, children_of

_ATTRIBUTES = {
    "className": "class", "title": "title", "dir": "dir", "lang": "lang", "colSpan": "colspan", "rowSpan": "rowspan",
    "scope": "scope", "href": "href", "open": "open", "hidden": "hidden",
}  # fmt: skip
_ELEMENTS = frozenset(
    {
        "a", "abbr", "article", "aside", "b", "blockquote", "br", "code", "dd", "details", "div", "dl", "dt", "em",
        "fieldset", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "kbd",
        "legend", "li", "main", "mark", "nav", "ol", "p", "pre", "q", "s", "section", "small", "span", "strong",
        "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "u", "ul",
    }
)  # fmt: skip
_VOID = frozenset({"br", "hr"})
_INSIDE = re.compile(r"/(?![/\\])")
_ROOM = '<div class="room"></div>'


def markup(part: Component | Node | str | float | None) -> str:
    """The HTML of a page's part."""
    if part is None:
        return ""
    if isinstance(part, list):
        return _element("a" if part[0] == "Link" else str(part[0]), part[1], part[2:])
    if not isinstance(part, Component):
        return escape(str(part), quote=False)
    if isinstance(part, Still):
        return "".join(map(markup, cast(Any, part).nodes))
    made = cast("dict[str, Any]", part.to_plotly_json())
    if isinstance(part, dcc.Graph):
        return f'<div style="{_style(made["props"].get("style", {}))}"></div>'
    if made["namespace"] != "dash_html_components" and not isinstance(part, dcc.Link):
        return _ROOM
    tag = "a" if isinstance(part, dcc.Link) else str(made["type"]).lower()
    return _element(tag, made["props"], children_of(part))


def _element(tag: str, properties: Mapping[str, Any], children: list[Any]) -> str:
    if tag not in _ELEMENTS:
        return _ROOM
    written = "".join(_attribute(name, value) for name, value in properties.items())
    return f"<{tag}{written}>" + ("" if tag in _VOID else "".join(map(markup, children)) + f"</{tag}>")


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if name == "style":
        return f' style="{_style(value)}"'
    known = _ATTRIBUTES.get(name)
    if known is None or (known == "href" and not _INSIDE.match(str(value))):
        return ""
    return f' {known}="{"" if value is True else escape(str(value))}"'


def _style(rules: Mapping[str, Any]) -> str:
    """A style as CSS; ``rules`` have the names that scripts use."""
    named = (
        (re.sub(r"[A-Z]", lambda upper: "-" + upper[0].lower(), name), value) for name, value in rules.items()
    )
    return escape(";".join(f"{name}:{value}" for name, value in named))
