"""A page as HTML: what it looks like, and nothing that a text could make of it."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html

from spanledger_dashboards.parts.markup import markup
from spanledger_dashboards.parts.still import still


def test_still_and_living_parts_are_written_alike() -> None:
    part = html.Div([html.H1("Spend"), html.P(["a ", html.B("b", title='say "hi"')])], className="page")
    assert (
        markup(part) == '<div class="page"><h1>Spend</h1><p>a <b title="say &quot;hi&quot;">b</b></p></div>'
    )
    assert markup(still(part)) == markup(part)


def test_what_has_state_leaves_its_room() -> None:
    graph = dcc.Graph(figure={}, style={"height": "240px"})
    part = html.Div([dmc.Select(id="team", data=["a"]), graph, html.Button("Save", id="save", n_clicks=0)])
    room = '<div class="room"></div>'
    assert markup(still(part)) == f'<div>{room}<div style="height:240px"></div>{room}</div>'


def test_texts_are_no_markup_and_addresses_lead_inside() -> None:
    hostile = "</b><script>alert(1)</script>&amp;\x00"
    assert markup(html.B(hostile, title='"><i onmouseover=x>')) == (
        '<b title="&quot;&gt;&lt;i onmouseover=x&gt;">&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\x00</b>'
    )
    for address in ("javascript:alert(1)", "//elsewhere", "/\\elsewhere", "https://elsewhere"):
        assert markup(html.A("x", href=address)) == "<a>x</a>"
    assert markup(dcc.Link("x", href="/users?a=1&b=2")) == '<a href="/users?a=1&amp;b=2">x</a>'
    assert markup(html.Span("x", style={"backgroundColor": 'red"><script>'})) == (
        '<span style="background-color:red&quot;&gt;&lt;script&gt;">x</span>'
    )
    assert markup(html.Script("alert(1)")) == markup(html.Iframe(src="/")) == '<div class="room"></div>'
