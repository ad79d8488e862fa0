"""Forty hostile texts everywhere a stranger can put one stay text; a project's rows stay the project's."""

from __future__ import annotations

import csv
import io
import random
import time
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from tests.dashboards.conftest import HOSTILE, READERS, Dashboard, Open
from tests.dashboards.drawing import draw
from tests.dashboards.hostile import MARK, hostile

pytestmark = pytest.mark.clickhouse

PATHS = (
    "/", "/calls", "/sessions", "/users", "/cache", "/routes", "/scores", "/judges", "/rag", "/experiments", "/playground", "/datasets",
    "/spend", "/budgets", "/gpu", "/events", "/rules", "/registry",
)  # fmt: skip


@pytest.fixture(scope="module")
def traces(dashboard: Dashboard) -> list[str]:
    """The hostile project, filled; ids of its traces."""
    hostile(HOSTILE).insert(dashboard.client)
    rows = dashboard.client.query(
        "SELECT lower(hex(trace_id)) FROM spans WHERE project = {p:String}", {"p": HOSTILE}
    ).result_rows
    return [row[0] for row in rows]


@pytest.mark.browser
def test_hostile_texts_are_inert_on_every_page(visit: Open, traces: list[str]) -> None:
    tab = visit(READERS[HOSTILE])
    places = [
        *PATHS,
        *(f"/traces/{trace}" for trace in traces[::4]),
        *(f"/traces/{trace}?as=markdown" for trace in traces[1::4]),
    ]
    for path in places:
        page = tab.open(path)
        assert page.evaluate(f"window.{MARK}") is None, path
        assert (
            page.locator("#main script, #main iframe, #main object, #main embed, #main base").count() == 0
        ), path
        assert (
            page.locator("#main [href^='javascript:'], #main [src^='http:'], #main [src^='https:']").count()
            == 0
        ), path
        handlers = "[...document.querySelectorAll('#main *')].filter(e => e.getAttributeNames().some(n => n.startsWith('on'))).length"
        assert page.evaluate(handlers) == 0, path
        assert page.locator("#main .notice.red").count() == 0, path


class _Parsed(HTMLParser):
    """The elements and attributes that stand in what a document holds of its page."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        ahead = document.partition('<div id="ahead"')[2]
        self.length = len(ahead)
        self.feed('<div id="ahead"' + ahead.partition("<footer>")[0] if ahead else "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def test_what_a_document_holds_of_a_hostile_page_is_text(dashboard: Dashboard, traces: list[str]) -> None:
    cookie = dashboard.cookie(READERS[HOSTILE])
    shown = 0
    for path in (*PATHS, *(f"/traces/{trace}" for trace in traces)):
        page = _Parsed(dashboard.get(path, cookie).body)
        shown += page.length > 0
        assert not page.tags & {
            "script",
            "iframe",
            "object",
            "embed",
            "base",
            "img",
            "form",
            "link",
            "style",
            "svg",
        }, path
        assert not {name for name in page.attributes if name.startswith("on")}, path
        assert all(address.startswith("/") and not address.startswith("//") for address in page.addresses), (
            path
        )
    assert shown > len(PATHS)


@pytest.mark.browser
def test_the_call_grid_shows_hostile_texts_as_text(visit: Open, traces: list[str]) -> None:
    page = visit(READERS[HOSTILE]).open("/calls")
    page.wait_for_selector(".ledger-grid .ag-row a.a")
    assert "<script>" in page.locator(".ledger-grid").inner_text()


def test_no_cell_of_an_export_is_a_formula(dashboard: Dashboard, traces: list[str]) -> None:
    cookie = dashboard.cookie(READERS[HOSTILE])
    for path in ("/export/calls.csv?range=24h", "/export/spend.csv?range=24h&by=user_id&then=model"):
        written = dashboard.get(path, cookie).body
        rows = list(csv.reader(io.StringIO(written, newline="")))
        assert len(rows) > 20
        assert all(len(row) == len(rows[0]) for row in rows)
        bad = [
            cell
            for row in rows
            for cell in row
            if cell.lstrip().startswith(("=", "+", "@")) or cell.startswith(("\t", "\r"))
        ]
        assert bad == []
        dashes = [
            cell
            for row in rows
            for cell in row
            if cell.startswith("-") and not cell.lstrip("-").replace(".", "").isdigit()
        ]
        assert dashes == []


def test_every_page_of_a_hostile_project_is_drawn_and_light(dashboard: Dashboard, traces: list[str]) -> None:
    cookie = dashboard.cookie(READERS[HOSTILE])
    for path in (*PATHS, *(f"/traces/{trace}" for trace in traces[:10])):
        status, body = draw(dashboard, cookie, path)
        assert status == 200, path
        assert "could not be drawn" not in body, path
        assert len(body) < 600_000, path


def test_nothing_of_another_project_is_on_any_page_whatever_the_address(dashboard: Dashboard) -> None:
    """Values that only the other project has, asked for by every filter, never appear in an answer to this one."""
    secret = f"secret{time.time_ns()}"
    made = hostile("other")
    for row in made.spans:
        for name in (
            "team",
            "user_id",
            "session_id",
            "route",
            "request_model",
            "response_model",
            "service",
            "feature",
        ):
            setattr(row, name, secret)
    for score in made.scores:
        score.name = score.explanation = score.judge_id = score.route = secret
    for event in made.events:
        event.title = event.subject = event.message = secret
    made.insert(dashboard.client)
    cookie, foreign = dashboard.cookie(READERS["default"]), made.spans[0].trace_id.hex()
    dice = random.Random(11)
    names = [
        "team",
        "user_id",
        "session_id",
        "route",
        "model",
        "score",
        "subject",
        "q",
        "trace",
        "by",
        "then",
        "project",
        "none",
        "order",
    ]
    for path in (*PATHS, f"/traces/{foreign}"):
        for search in (
            "",
            *(
                {
                    name: dice.choice([secret, "other", "*", "default", foreign])
                    for name in dice.sample(names, 3)
                }
                for _ in range(4)
            ),
        ):
            query = "?" + urlencode(search) if search else ""
            status, body = draw(dashboard, cookie, path, query)
            seen = body
            for value in dict(search).values() if search else ():  # what the reader typed may be echoed
                seen = seen.replace(str(value), "")
            assert status == 200
            assert secret not in seen, f"{path}{query}"
        assert secret not in dashboard.get(path, cookie).body
    own = draw(dashboard, dashboard.cookie(READERS["other"]), "/users")[1]
    assert secret in own
    assert secret in dashboard.get("/users", dashboard.cookie(READERS["other"])).body
