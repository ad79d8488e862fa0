"""A page's tree in; the same tree with what never changes drawn by one component, out.

Dash keeps state for every element it draws, which costs more than drawing it. Most of a page (tables, texts, links) no
callback touches: ``assets/still.js`` draws such a part as plain elements, in one go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

from dash import dcc
from dash.development.base_component import Component

Node = list[Any]
"""``[tag, properties, *children]``, where a child is a node or a text; the tag ``Link`` is an address inside the pages."""

_HTML = "dash_html_components"


class Still(Component):
    """Elements without state: ``nodes`` are what ``assets/still.js`` draws beside each other."""

    _namespace = "spanledger_parts"
    _type = "Still"
    _prop_names = ["nodes"]  # noqa: RUF012
    _valid_wildcard_attributes: list[str] = []  # noqa: RUF012
    available_properties = ["nodes"]  # noqa: RUF012
    available_wildcard_properties: list[str] = []  # noqa: RUF012


def still(tree: Component) -> Component:
    """The tree, its largest parts without state each made one ``Still``."""
    found = _drawn(tree)
    return Still(nodes=[found]) if isinstance(found, list) else found


def _drawn(part: Component) -> Component | Node:
    """The part as a node where nothing in it has state; else the part itself, its still children joined."""
    children = [_drawn(child) if isinstance(child, Component) else child for child in children_of(part)]
    made = cast("dict[str, Any]", part.to_plotly_json())
    if _is_plain(part, made) and not any(isinstance(child, Component) for child in children):
        tag = "Link" if isinstance(part, dcc.Link) else str(made["type"]).lower()
        given = cast("dict[str, Any]", made["props"])
        properties = {
            name: value for name, value in given.items() if name != "children" and value is not None
        }
        return [tag, properties, *children]
    if any(isinstance(child, list) for child in children):
        cast(Any, part).children = _joined(children)
    return part


def _joined(children: Sequence[Any]) -> list[Any]:
    """Still neighbours as one component each run; texts beside a component with state stay where they are."""
    joined: list[Any] = []
    for child in children:
        if not isinstance(child, list):
            joined.append(child)
        elif joined and isinstance(joined[-1], Still):
            cast(Any, joined[-1]).nodes.append(child)
        else:
            joined.append(Still(nodes=[child]))
    return joined


def _is_plain(part: Component, made: Mapping[str, Any]) -> bool:
    known = made["namespace"] == _HTML or isinstance(part, dcc.Link)
    return known and not {"id", "n_clicks"} & made["props"].keys()


def children_of(part: Component) -> list[Any]:
    """The parts of a part, as a list."""
    children = getattr(part, "children", None)
    if _is_several(children):
        return [child for child in children if child is not None]
    return [] if children is None else [children]


def _is_several(children: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(children, list | tuple)
