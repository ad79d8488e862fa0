"""Filter controls. Each writes its value into the address; the page is then drawn anew from the address."""

from __future__ import annotations

from collections.abc import Sequence

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from spanledger_dashboards.text import line
from spanledger_dashboards.view import View


def bar(view: View, *controls: Component) -> Component:
    """A row of filters, with a link that removes them all when any is set."""
    clear = dcc.Link("Clear filters", href=view.href(**dict.fromkeys(view.filters)), className="a")
    parts: list[Component] = [*controls, clear] if view.filters else list(controls)
    return html.Div(parts, className="filters", role="search")


def select(
    view: View, name: str, label: str, values: Sequence[str | tuple[str, str]], default: str = ""
) -> Component:
    """One value of many; ``values`` are texts, or (value, label). A value in the address is always offered."""
    pairs = [(value, line(value, 60)) if isinstance(value, str) else value for value in values]
    chosen = view.get(name, default)
    if chosen and chosen not in {value for value, _ in pairs}:
        pairs.insert(0, (chosen, line(chosen, 60)))
    return dmc.Select(
        id={"type": "filter", "name": name},
        label=label,
        value=chosen or None,
        data=[{"value": value, "label": text or value} for value, text in pairs if value],
        clearable=not default,
        searchable=len(pairs) > 8,
        placeholder="any",
        size="xs",
        w=150,
        comboboxProps={"withinPortal": True, "width": 240, "position": "bottom-start"},
        nothingFoundMessage="none in this time range",
    )


def several(
    view: View, name: str, label: str, values: Sequence[tuple[str, str]], default: Sequence[str]
) -> Component:
    """Some of several values, kept in the address as words between commas."""
    chosen = [word for word in view.get(name).split(",") if word] or list(default)
    boxes = [dmc.Checkbox(value=value, label=text, size="xs") for value, text in values]
    group = dmc.CheckboxGroup(boxes, id={"type": "filter", "name": name}, value=chosen, className="several")
    body = html.Div(html.Fieldset([html.Legend(label), group]), className="drop left")
    return html.Details([html.Summary(label, className="button"), body], className="saved")


def search(view: View, name: str, label: str, placeholder: str, width: int = 220) -> Component:
    """Free text, taken on Enter or when the field is left."""
    return dmc.TextInput(
        id={"type": "filter", "name": name},
        label=label,
        value=view.get(name),
        placeholder=placeholder,
        size="xs",
        w=width,
        debounce=True,
    )
