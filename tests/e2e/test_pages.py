"""The pages show what went through: calls, one call with its tree and scores, spend, the switch; all from here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

import spanledger
from spanledger.testing.model_server import ModelServer
from tests.browsing import Visit
from tests.e2e.stack import Stack, http

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
PASSAGE = "The library charges 20 cents a day for late books, up to 5 euros for each."
CALL = "SELECT lower(hex(trace_id)) AS trace FROM spans WHERE route = 'library' AND billable"
SCORED = "SELECT value FROM scores FINAL WHERE route = 'library' AND value IS NOT NULL"


@pytest.fixture(scope="module")
def trace(stack: Stack) -> Iterator[str]:
    """One RAG call through the gateway, scored; its trace id."""
    with ModelServer(answer="Late books cost 20 cents a day.") as server:
        stack.apply(
            ("upstream", "library-1", {"base_url": server.base_url, "allow_private": True}),
            ("route", "library", {"targets": [{"upstream": "library-1", "model": "gpt-4o-mini"}]}),
            ("evaluator", "library", {"scorers": ["groundedness"], "filter": {"route": "library"}}),
        )
        spanledger.init(
            endpoint=stack.url("collector"),
            key=stack.key,
            home=str(stack.home / "pages"),
            service="e2e-pages",
        )
        with (
            stack.openai() as client,
            spanledger.span("ask the library"),
            spanledger.span("retrieve", operation="retrieval") as retrieval,
        ):
            retrieval.update(documents=[{"id": "1", "content": PASSAGE}])
            create: Any = client.chat.completions.create
            question = [{"role": "user", "content": "What do <b>late</b> books cost?"}]
            create(
                model="library", messages=question, extra_headers={"traceparent": spanledger.traceparent()}
            )
        spanledger.shutdown()
        found = stack.rows_until(1, CALL)[0]["trace"]
        stack.rows_until(1, SCORED, 60)
        yield found


def test_a_recorded_call_is_asked_again_in_the_playground(visit: Visit, stack: Stack, trace: str) -> None:
    with ModelServer(answer="Two answers are better.") as server:
        stack.apply(
            ("upstream", "library-2", {"base_url": server.base_url, "allow_private": True}),
            ("route", "library-too", {"targets": [{"upstream": "library-2", "model": "gpt-4o-mini"}]}),
        )
        page = visit.open(f"/traces/{trace}")
        page.get_by_role("link", name="Replay").click()
        page.wait_for_url("**/playground**")
        visit.drawn()
        assert page.get_by_label("Message, or a JSON list").input_value() == "What do <b>late</b> books cost?"
        page.get_by_label("Message, or a JSON list").fill("What do books cost?")
        page.get_by_label("Routes").first.fill("library-too")
        page.get_by_role("option", name="library-too").click()
        page.get_by_role("button", name="Run").click()
        answers = page.locator(".side-by-side section.panel")
        expect(answers).to_have_count(2)
        expect(answers.filter(has_text="library-too")).to_contain_text("Two answers are better.")
        answers.filter(has_text="library-too").get_by_role("link", name="open it").click()
        page.wait_for_url("**/traces/**")
    found = stack.rows_until(1, "SELECT purpose FROM spans WHERE route = 'library-too' AND billable")
    assert found[0]["purpose"] == "playground"


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Visit]:
    """A tab that signed in with the link that `up` printed."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    made = Visit(context.new_page(), stack.url("dashboard"))
    made.open(f"/?key={stack.key}")
    yield made
    context.close()
    assert made.problems == []


def test_nothing_is_shown_without_a_key(stack: Stack, trace: str) -> None:
    for path in ("/", "/calls", f"/traces/{trace}", "/spend"):
        answer = http("GET", stack.url("dashboard") + path)
        assert "late books" not in str(answer.body)


@pytest.mark.parametrize("path", ["/", "/calls", "/spend", "/events"])
def test_each_page_is_drawn(visit: Visit, trace: str, path: str) -> None:
    page = visit.open(path)
    expect(page.locator("#main h1")).to_be_visible()
    assert "key=" not in page.url


def test_a_call_is_found_in_the_list_and_opens_with_its_tree_answer_cost_and_score(
    visit: Visit, stack: Stack, trace: str
) -> None:
    page = visit.open("/calls")
    expect(page.get_by_text("library", exact=False).first).to_be_visible()
    page = visit.open(f"/traces/{trace}")
    main = page.locator("#main")
    for words in ("ask the library", "retrieve", "Late books cost 20 cents a day."):
        expect(main.get_by_text(words, exact=False).first).to_be_visible()
    expect(main.get_by_text("groundedness", exact=False).first).to_be_visible()
    expect(main.get_by_text(re.compile(r"\$\s*0\.0")).first).to_be_visible()


def test_spend_is_shown_by_model(visit: Visit, trace: str) -> None:
    page = visit.open("/spend")
    expect(page.get_by_text("gpt-4o-mini").first).to_be_visible()
