"""Parts of pages without state become one component; what has state stays what it is."""

from __future__ import annotations

import json
from typing import Any

from dash import dcc, html

from spanledger_dashboards.parts.basic import Column, link, panel, table
from spanledger_dashboards.parts.still import Still, still
from tests.dashboards.drawing import sent


def test_a_page_without_state_is_one_component() -> None:
    page = html.Div([html.H1("Users"), panel("All", table([Column("User")], [[link("ana", "/users?user_id=ana")]], label="Users"))])  # fmt: skip
    drawn = still(page)
    assert isinstance(drawn, Still)
    ((tag, properties, title, _),) = sent(drawn)["props"]["nodes"]
    assert (tag, properties, title) == ("div", {}, ["h1", {}, "Users"])
    assert '["Link", {"href": "/users?user_id=ana", "className": "a"}, "ana"]' in json.dumps(sent(drawn))


def test_what_a_callback_can_reach_keeps_its_state_and_its_place() -> None:
    field = dcc.Input(id="name")
    button = html.Button("Save", id="save", n_clicks=0)
    page: Any = html.Div(
        [html.H1("A"), html.P("B"), html.Div([field, "text", html.P("C")]), button, html.P("D")]
    )
    drawn = still(page)
    assert drawn is page
    first, middle, third, last = page.children
    assert isinstance(first, Still)
    assert sent(first)["props"]["nodes"] == [["h1", {}, "A"], ["p", {}, "B"]]
    assert middle.children[:2] == [field, "text"]
    assert isinstance(middle.children[2], Still)
    assert third is button
    assert isinstance(last, Still)


def test_texts_stay_texts_and_what_is_not_given_is_notsent() -> None:
    drawn = still(html.P(["<script>", None, html.B("x", title=None, tabIndex="0")], className="about"))
    assert sent(drawn)["props"]["nodes"] == [
        ["p", {"className": "about"}, "<script>", ["b", {"tabIndex": "0"}, "x"]]
    ]
