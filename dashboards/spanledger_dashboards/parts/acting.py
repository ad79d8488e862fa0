"""Buttons that do something: what to do, and fields to fill in, in; a form whose answer stands beside its button out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from spanledger_dashboards.view import View

ACT, FIELD, ACTED = "act", "act-field", "acted"


def button(
    view: View, action: str, label: str, of: Mapping[str, str], *fields: Component
) -> Component | None:
    """A button for those who may change things here; None for others. ``of`` says to what it is done.

    ``fields`` are made for the same action and ``of``.
    """
    if not view.admin:
        return None
    key = key_of(action, of)
    return html.Div(
        [
            *fields,
            html.Button(label, id={"type": ACT, "key": key}, className="button", n_clicks=0),
            html.Span(id={"type": ACTED, "key": key}),
        ],
        className="acting",
    )


def text_field(
    action: str, name: str, label: str, of: Mapping[str, str], *, value: str = "", width: int = 180
) -> Component:
    """One text of the form."""
    place = {"type": FIELD, "key": key_of(action, of), "name": name}
    return dmc.TextInput(id=place, label=label, value=value, size="xs", w=width)


def choice_field(action: str, name: str, label: str, values: list[str], of: Mapping[str, str]) -> Component:
    """One of several values; the first stands at the start."""
    place = {"type": FIELD, "key": key_of(action, of), "name": name}
    return dmc.Select(
        id=place, label=label, value=values[0], data=values, size="xs", w=130, allowDeselect=False,
        comboboxProps={"withinPortal": True},
    )  # fmt: skip


def key_of(action: str, of: Mapping[str, str]) -> str:
    """What a button does, and to what, as its id tells the server; ``read_key`` reads it back."""
    return json.dumps([action, dict(of)], sort_keys=True)


def read_key(key: str) -> tuple[str, dict[str, str]]:
    """An action and its object from an id, which a browser may have made up. Raises ValueError for anything else."""
    loaded: object = json.loads(key)
    if isinstance(loaded, list) and len(cast("list[object]", loaded)) == 2:
        action, of = cast("list[object]", loaded)
        if isinstance(action, str) and isinstance(of, dict):
            pairs = cast("dict[object, object]", of)
            return action, {str(name): str(value) for name, value in pairs.items()}
    raise ValueError("no action")
