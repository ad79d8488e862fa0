"""What the browser may ask for besides pages: rows of the call grid, and what buttons do. The rest runs in the browser."""

from __future__ import annotations

import time
from typing import Any, cast
from urllib.parse import parse_qs

from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, no_update

from spanledger_collector.store.reads import calls

from .acting import act
from .call_filter import filter_of, order_of
from .editing import save
from .finance_acting import take_file
from .here import here, read
from .pages import playground, reconciliation, registry
from .pages.calls import BLOCK, GRID, lines
from .pages.playground import Asked, play
from .parts.acting import ACT, ACTED, FIELD
from .view import view_of

LOCATION = "_pages_location"
_PLAYED = (
    playground.TARGETS, playground.SYSTEM, playground.MESSAGES, playground.TEMPERATURE, playground.MOST, playground.KEY,
)  # fmt: skip


def register(app: Dash) -> None:
    """Add every callback to the app."""
    untyped = cast("Any", app)  # Dash's own annotations of these two methods are partial
    _in_the_browser(untyped)
    grid = untyped.callback(
        Output(GRID, "getRowsResponse"),
        Input(GRID, "getRowsRequest"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    grid(_rows)
    saving = untyped.callback(
        Output(registry.SAID, "children"),
        Input(registry.SAVE, "n_clicks"),
        State(registry.EDITOR, "value"),
        State(registry.NOTE, "value"),
        State(registry.BASE, "data"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    saving(_save)
    acting = untyped.callback(
        Output({"type": ACTED, "key": MATCH}, "children"),
        Input({"type": ACT, "key": MATCH}, "n_clicks"),
        State({"type": ACT, "key": MATCH}, "id"),
        State({"type": FIELD, "key": MATCH, "name": ALL}, "value"),
        State({"type": FIELD, "key": MATCH, "name": ALL}, "id"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    acting(_act)
    playing = untyped.callback(
        Output(playground.SAID, "children"),
        Input(playground.RUN, "n_clicks"),
        *(State(name, "value") for name in _PLAYED),
        State(LOCATION, "search"),
        running=[(Output(playground.RUN, "disabled"), True, False)],
        prevent_initial_call=True,
    )
    playing(_play)
    taking = untyped.callback(
        Output({"type": reconciliation.UPLOADED, "source": MATCH}, "children"),
        Input({"type": reconciliation.UPLOAD, "source": MATCH}, "contents"),
        State({"type": reconciliation.UPLOAD, "source": MATCH}, "filename"),
        State({"type": reconciliation.UPLOAD, "source": MATCH}, "id"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    taking(_take)


async def _rows(request: dict[str, Any] | None, search: str | None) -> Any:
    return no_update if request is None else await rows_for(request, search or "")


async def _save(
    clicks: int | None, text: str | None, note: str | None, base: dict[str, Any], search: str | None
) -> Any:
    if not clicks:
        return no_update
    viewer = here().viewer
    view = view_of("/registry", dict(parse_qs((search or "").lstrip("?"))), viewer.projects, time.time_ns())
    return await save(view, base, text or "", note or "")


async def _act(
    clicks: int | None,
    place: dict[str, str],
    values: list[str | None],
    names: list[dict[str, str]],
    search: str | None,
) -> Any:
    if not clicks:
        return no_update
    viewer = here().viewer
    view = view_of("/", dict(parse_qs((search or "").lstrip("?"))), viewer.projects, time.time_ns())
    fields = {str(name["name"]): str(value or "") for name, value in zip(names, values, strict=True)}
    return await act(view, str(place["key"]), fields)


async def _play(
    clicks: int | None, targets: list[str] | None, system: str | None, messages: str | None, temperature: Any, most: Any,
    key: str | None, search: str | None,
) -> Any:  # fmt: skip
    if not clicks:
        return no_update
    viewer = here().viewer
    view = view_of("/playground", dict(parse_qs((search or "").lstrip("?"))), viewer.projects, time.time_ns())
    asked = Asked(targets or [], system or "", messages or "", temperature, most, (key or "").strip())
    return await play(view, asked)


async def _take(contents: str | None, name: str | None, place: dict[str, str], search: str | None) -> Any:
    if not contents:
        return no_update
    viewer = here().viewer
    view = view_of(
        "/reconciliation", dict(parse_qs((search or "").lstrip("?"))), viewer.projects, time.time_ns()
    )
    return await take_file(view, str(place["source"]), contents, name or "")


async def rows_for(request: dict[str, Any], search: str) -> dict[str, Any]:
    """Rows ``startRow`` to ``endRow`` of the list that the address describes; the grid's own order wins."""
    viewer = here().viewer
    view = view_of("/calls", dict(parse_qs(search.lstrip("?"))), viewer.projects, time.time_ns())
    order, descending = order_of(view)
    model: list[dict[str, str]] = request.get("sortModel") or []
    if model and model[0]["colId"] in calls.ORDERS:
        order, descending = model[0]["colId"], model[0]["sort"] == "desc"
    first = max(0, int(request.get("startRow", 0)))
    limit = min(max(1, int(request.get("endRow", first + BLOCK)) - first), 5 * BLOCK)
    which = filter_of(view)
    rows = await read(
        view, calls.calls, view.window, which, order=order, descending=descending, limit=limit, offset=first
    )
    if len(rows) < limit:
        return {"rowData": lines(rows, view), "rowCount": first + len(rows)}
    return {"rowData": lines(rows, view), "rowCount": await read(view, calls.count_calls, view.window, which)}


def _in_the_browser(app: Any) -> None:
    def function(name: str) -> ClientsideFunction:
        return ClientsideFunction("spanledger", name)

    app.clientside_callback(
        function("filter"),
        Output(LOCATION, "search", allow_duplicate=True),
        Input({"type": "filter", "name": ALL}, "value"),
        State({"type": "filter", "name": ALL}, "id"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("shared"),
        Output(LOCATION, "search", allow_duplicate=True),
        Input({"type": "shared", "name": ALL}, "value"),
        State({"type": "shared", "name": ALL}, "id"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("open"),
        Output({"type": "chart", "name": MATCH}, "clickData"),
        Input({"type": "chart", "name": MATCH}, "clickData"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("zoom"),
        Output(LOCATION, "search", allow_duplicate=True),
        Input({"type": "chart", "name": ALL}, "relayoutData"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("menu"),
        Output({"type": "menu", "path": ALL}, "href"),
        Output({"type": "menu", "path": ALL}, "className"),
        Output({"type": "shared", "name": ALL}, "value"),
        Output("range-text", "children"),
        Input(LOCATION, "pathname"),
        Input(LOCATION, "search"),
        State({"type": "menu", "path": ALL}, "id"),
        State({"type": "shared", "name": ALL}, "id"),
        State({"type": "shared", "name": ALL}, "value"),
    )
    app.clientside_callback(
        function("live"),
        Output("tick", "disabled"),
        Output("tick", "interval"),
        Input("live", "checked"),
        Input(LOCATION, "pathname"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("tick"),
        Output(LOCATION, "search", allow_duplicate=True),
        Input("tick", "n_intervals"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        function("save"),
        Output("saved", "data"),
        Output("saved-name", "value"),
        Input("saved-save", "n_clicks"),
        Input("saved-drop", "n_clicks"),
        State("saved-name", "value"),
        State("saved", "data"),
        State(LOCATION, "pathname"),
        State(LOCATION, "search"),
        prevent_initial_call=True,
    )
    app.clientside_callback(function("saved"), Output("saved-list", "children"), Input("saved", "data"))
