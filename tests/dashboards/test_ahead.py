"""A page is drawn from the moment its document is asked for, once, for the one who asked."""

from __future__ import annotations

import asyncio

import pytest
from dash import html

from spanledger_collector.store.registry.keys import Key
from spanledger_dashboards.here import Here, Store, set_here
from spanledger_dashboards.pages import ahead
from spanledger_dashboards.pages.ahead import Ahead
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.session import Viewer
from spanledger_dashboards.view import View
from tests.dashboards.drawing import sent


class Drawn:
    """A page that counts how often it was drawn and shows its number."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.page = Page("/sessions/<one>", "Session", self.render)

    async def render(self, view: View) -> html.P:
        self.views.append(view)
        return html.P(f"{view.project} {view.filters}")


def _come(name: str) -> None:
    project = f"project-{name}"
    viewer = Viewer((Key(id=name, project=project, scopes=("read",)),), (project,))
    set_here(Here(viewer, Store(client=None)))  # type: ignore[arg-type] # nothing is read


async def _shown(pages: Ahead, drawn: Drawn, **query: object) -> str:
    return str(sent(await pages.take(drawn.page, {"one": "s1", **query}))["props"]["nodes"][0][2])


def test_what_was_begun_is_taken_once_and_then_drawn_anew() -> None:
    async def story() -> None:
        drawn = Drawn()
        pages = Ahead([drawn.page])
        _come("ana")
        html = pages.begin("/sessions/s1", "team=a&team=b&empty=")
        assert pages.begin("/elsewhere", "") is None
        assert html is not None
        shown = "<p>project-ana {'one': 's1', 'team': 'b'}</p>"
        assert await html == f'<div id="ahead" inert aria-hidden="true">{shown}</div>'
        assert len(drawn.views) == 1
        query: dict[str, object] = {"team": ["a", "b"], "empty": ""}
        assert await _shown(pages, drawn, **query) == "project-ana {'one': 's1', 'team': 'b'}"
        assert len(drawn.views) == 1
        await _shown(pages, drawn, **query)
        assert len(drawn.views) == 2

    asyncio.run(story())


def test_nobody_is_given_what_another_began() -> None:
    async def story() -> None:
        drawn = Drawn()
        pages = Ahead([drawn.page])
        _come("ana")
        pages.begin("/sessions/s1", "")
        _come("bo")
        assert await _shown(pages, drawn) == "project-bo {'one': 's1'}"
        _come("ana")
        assert await _shown(pages, drawn) == "project-ana {'one': 's1'}"
        assert sorted(view.project for view in drawn.views) == ["project-ana", "project-bo"]

    asyncio.run(story())


def test_what_nobody_takes_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        drawn = Drawn()
        pages = Ahead([drawn.page])
        _come("ana")
        for number in range(3 * ahead.MOST):
            pages.begin(f"/sessions/s{number}", "")
        await asyncio.sleep(0.01)
        assert len(drawn.views) == ahead.MOST  # the others were never begun
        newest: dict[str, object] = {"one": f"s{3 * ahead.MOST - 1}"}
        await pages.take(drawn.page, newest)
        assert len(drawn.views) == ahead.MOST
        monkeypatch.setattr(ahead, "KEPT_S", -1.0)  # all that is kept is too old now
        await pages.take(drawn.page, {"one": f"s{3 * ahead.MOST - 2}"})
        assert len(drawn.views) == ahead.MOST + 1

    asyncio.run(story())


def _broken(_page: object) -> str:
    raise ValueError("no HTML")


def test_what_is_too_much_or_cannot_be_written_is_not_sent_ahead(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def sent_ahead() -> str:
        _come("ana")
        html = Ahead([Drawn().page]).begin("/sessions/s1", "")
        assert html is not None
        return await html

    assert "ana" in asyncio.run(sent_ahead())
    monkeypatch.setattr(ahead, "LARGEST", 10)
    assert asyncio.run(sent_ahead()) == ""
    monkeypatch.setattr(ahead, "markup", _broken)
    assert asyncio.run(sent_ahead()) == ""
    assert "could not be written" in caplog.text
