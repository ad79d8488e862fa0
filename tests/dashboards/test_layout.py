"""The frame around every page is made for any viewer, without a server."""

from __future__ import annotations

from dash import Dash

from spanledger_collector.store.registry.keys import Key
from spanledger_dashboards import shell
from spanledger_dashboards.pages import PAGES
from spanledger_dashboards.session import viewer_of


def test_the_frame_offers_the_viewers_projects_and_every_page() -> None:
    Dash("frame", use_pages=True, pages_folder="")
    reader = Key(id="r", project="shop", scopes=("read",))
    drawn = str(shell.layout(viewer_of([reader], ["secret"])))
    assert "shop" in drawn
    assert "secret" not in drawn
    assert all(page.title in drawn for page in PAGES if page.group)


def test_an_operators_key_opens_every_project() -> None:
    operator = Key(id="o", project="default", scopes=("admin",), operator=True)
    viewer = viewer_of([operator], ["a", "b"])
    assert viewer.projects == ("default", "a", "b")
    assert viewer.may_edit("b")
    assert viewer.key_of("c") is None


def test_a_reader_may_not_edit_and_an_admin_of_another_project_may_not_either() -> None:
    keys = [Key(id="r", project="a", scopes=("read",)), Key(id="x", project="b", scopes=("admin",))]
    viewer = viewer_of(keys, [])
    assert not viewer.may_edit("a")
    assert viewer.may_edit("b")
