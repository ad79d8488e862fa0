"""Every page draws in a real browser, says nothing on the console and asks nobody outside."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Response, expect

from spanledger.records import CallRecord
from tests.collector.rows import insert
from tests.dashboards.conftest import ADMIN, OPERATOR, Dashboard, Open
from tests.dashboards.looking import fits

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]

PAGES = {
    "/": "Overview",
    "/calls": "Calls",
    "/sessions": "Sessions",
    "/users": "Users",
    "/cache": "Cache",
    "/routes": "Routes",
    "/scores": "Scores",
    "/scores?score=groundedness&by=request_model": "Scores",
    "/experiments": "Experiments",
    "/playground": "Playground",
    "/datasets": "Datasets",
    "/datasets?name=refunds": "Datasets",
    "/judges": "Judges",
    "/rag": "RAG",
    "/spend": "Spend",
    "/spend?by=customer_id&then=team&range=7d": "Spend",
    "/budgets": "Budgets",
    "/gpu": "GPU",
    "/reconciliation": "Reconciliation",
    "/statements": "Statements",
    "/events": "Alerts and events",
    "/rules": "Alert rules",
    "/registry": "Registry",
    "/registry?kind=route&name=gpt-4o": "gpt-4o",
}
NO_DATA = (
    "/rules",
    "/budgets",
    "/datasets",
    "/gpu",
    "/reconciliation",
    "/registry",
    "/routes",
    "/playground",
    "/statements",
)  # these speak of documents or months, whatever the time range


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1024)])
def test_every_page_draws_is_light_and_accessible(visit: Open, scheme: str, width: int) -> None:
    """Light: what a page brings beyond shared assets stays below 300 KB."""
    tab = visit(scheme=scheme, width=width, check=True)
    weights: dict[str, int] = {}

    def weigh(response: Response) -> None:
        if "/_dash-update-component" in response.url:
            weights[tab.page.url] = weights.get(tab.page.url, 0) + len(response.body())

    tab.page.on("response", weigh)
    for path, title in PAGES.items():
        page = tab.open(path)
        expect(page.locator("#main h1")).to_have_text(title)
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
        assert page.locator(".notice.red").count() == 0, path
        assert fits(page), f"{path} is wider than a window of {width} px"
        if path == "/calls":  # the page is dimmed while its rows are fetched
            page.wait_for_selector(".ledger-grid .ag-row a.a")
        expect(page.locator(".busy")).to_have_count(0)
        axe: Any = Axe()  # has no types
        found: list[dict[str, Any]] = axe.run(page).response["violations"]
        grave = [
            f"{path}: {one['id']}: {one['nodes'][0]['html']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == []
    assert {url: size for url, size in weights.items() if size > 300_000} == {}
    assert len(weights) >= len(PAGES)


def test_a_page_without_data_says_what_to_do_next(visit: Open) -> None:
    tab = visit()
    for path in dict.fromkeys(path.partition("?")[0] for path in PAGES):
        if path in NO_DATA:
            continue
        page = tab.open(f"{path}?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z")
        expect(page.locator(".empty").first).to_be_visible()
        assert "time range" in page.locator(".empty").first.inner_text(), path


def test_from_the_list_of_calls_to_a_trace_and_its_conversation(visit: Open) -> None:
    tab = visit()
    page = tab.open("/calls?route=gpt-4o")
    page.locator(".ledger-grid a.a").first.click()
    page.wait_for_url("**/traces/**")
    tab.drawn()
    expect(page.locator(".waterfall")).to_be_visible()
    expect(page.locator(".turn .role").first).to_have_text("System")
    assert page.locator(".wf-row").count() >= 4
    page.locator("a.wf-row").first.click()
    page.wait_for_url("**span=**")
    tab.drawn()
    expect(page.locator("a.wf-row.chosen")).to_have_count(1)


def test_columns_are_chosen_and_stand_in_the_address(visit: Open) -> None:
    tab = visit()
    page = tab.open("/calls?columns=model,session_id,prompt")
    page.wait_for_selector(".ledger-grid .ag-row a.a")
    assert page.locator(".ledger-grid .ag-header-cell-text").all_inner_texts() == [
        "Time (UTC)", "Model", "Session", "Prompt",
    ]  # fmt: skip
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Customer").check()
    page.wait_for_url("**customer_id**")
    tab.drawn()
    expect(page.locator(".ledger-grid .ag-header-cell-text", has_text="Customer")).to_be_visible()


def test_the_list_of_calls_follows_what_comes_in(visit: Open, dashboard: Dashboard) -> None:
    tab = visit()
    page = tab.open("/calls?user_id=tailed")
    expect(page.locator(".empty")).to_be_visible()
    now = time.time_ns()
    insert_calls(dashboard, "tailed", now - 2 * 10**9)
    page = tab.open("/calls?user_id=tailed")
    expect(page.locator(".ledger-grid .ag-row a.a")).to_have_count(1)
    page.get_by_role("switch").check()
    insert_calls(dashboard, "tailed", now - 10**9)
    expect(page.locator(".ledger-grid .ag-row a.a")).to_have_count(2)


def insert_calls(dashboard: Dashboard, user: str, *times: int) -> None:
    rows = [
        CallRecord(project="default", trace_id=os.urandom(16), span_id=os.urandom(8), start_time=at, duration_ns=10**6,
                   name="chat m", operation="chat", request_model="m", billable=True, user_id=user)
        for at in times
    ]  # fmt: skip
    insert(dashboard.client, *rows)


def test_an_answer_can_be_shown_as_markdown(visit: Open, dashboard: Dashboard) -> None:
    text = "# Title\n\nSome **bold** and [a link](https://example.com/x) and [bad](javascript:alert(1)).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<b>raw</b>\n\n```\ncode\n```"
    trace = os.urandom(16)
    row = CallRecord(duration_ns=10**6, project="default", trace_id=trace, span_id=os.urandom(8), start_time=time.time_ns() - 10**9, name="chat m",
                     operation="chat", billable=True, output=json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}]))  # fmt: skip
    insert(dashboard.client, row)
    tab = visit()
    page = tab.open(f"/traces/{trace.hex()}")
    assert "# Title" in page.locator(".turn.assistant .text").inner_text()
    page.get_by_role("link", name="Show as Markdown").first.click()
    page.wait_for_url("**as=markdown**")
    tab.drawn()
    shown = page.locator(".turn.assistant .markdown")
    expect(shown.locator(".md-heading")).to_have_text("Title")
    expect(shown.locator("td").first).to_have_text("1")
    expect(shown.locator("pre")).to_have_text("code")
    assert shown.locator("a").evaluate_all("all => all.map(a => a.href)") == ["https://example.com/x"]
    assert "<b>raw</b>" in shown.inner_text()
    assert "javascript:alert(1)" in shown.inner_text()


def test_a_filter_stands_in_the_address_and_survives_a_reload(visit: Open) -> None:
    tab = visit()
    page = tab.open("/calls")
    page.get_by_label("Status").first.click()
    page.get_by_role("option", name="error").click()
    page.wait_for_url("**status=error**")
    tab.drawn()
    everything = page.locator(".summary strong").inner_text()
    page.reload()
    tab.drawn()
    assert page.locator(".summary strong").inner_text() == everything
    expect(page.locator(".ledger-grid .badge.red").first).to_be_visible()


def test_the_time_range_goes_along_from_page_to_page(visit: Open) -> None:
    tab = visit()
    page = tab.open("/?range=7d")
    tab.follow(page.locator("nav .item", has_text="Spend"), "**/spend?range=7d")


def test_a_project_of_another_is_refused_in_words(visit: Open) -> None:
    page = visit().open("/?project=other")
    expect(page.locator(".notice")).to_contain_text("not signed in to the project")


def test_an_operator_sees_every_project(visit: Open) -> None:
    page = visit(OPERATOR).open("/?project=other")
    expect(page.locator("#main h1")).to_have_text("Overview")
    assert page.locator(".stat-value").count() >= 7


def test_signing_in_by_the_form(visit: Open, dashboard: Dashboard) -> None:
    tab = visit()
    tab.page.context.clear_cookies()
    page = tab.page
    page.goto(dashboard.url + "/spend?range=7d")
    page.get_by_label("Key").fill(OPERATOR)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/spend?range=7d")
    tab.drawn()


def test_an_admin_goes_back_to_a_version_and_a_reader_may_not(visit: Open, dashboard: Dashboard) -> None:
    page = visit().open("/registry?kind=evaluator&name=rag-quality")
    assert page.get_by_role("button", name="Save").count() == 0
    tab = visit(ADMIN)
    page = tab.open("/registry?kind=evaluator&name=rag-quality")
    document = page.get_by_label("Document (JSON)")
    document.fill(document.input_value().replace("0.5", "0.25"))
    page.get_by_label("Why").fill("half is dear")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#registry-said")).to_contain_text("Saved as version 2")
    page = tab.open("/registry?kind=evaluator&name=rag-quality&version=1")
    page.get_by_role("button", name="Go back to this version").click()
    expect(page.locator("#registry-said")).to_contain_text("Saved as version 3")
    story = dashboard.registry.history("default", "evaluator", "rag-quality")
    assert [version.document["rate"] for version in story] == [0.5, 0.25, 0.5]
    assert story[1].note == "half is dear"
    assert story[1].author == "key admin"


def test_a_wrong_document_is_refused_with_its_reasons(visit: Open, dashboard: Dashboard) -> None:
    page = visit(ADMIN).open("/registry?kind=budget&name=support-month")
    page.get_by_label("Document (JSON)").fill('{"amount": "-3", "colour": 1}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#registry-said .notice.red").first).to_be_visible()
    assert len(dashboard.registry.history("default", "budget", "support-month")) == 1


def test_pages_work_from_the_keyboard(visit: Open) -> None:
    tab = visit()
    page = tab.open("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Spend":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/spend**")
    tab.drawn()
    page.get_by_label("Group by").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**by=**")
    tab.drawn()


def test_figures_of_spend_add_up_to_the_calls(visit: Open, dashboard: Dashboard) -> None:
    page = visit().open("/spend?range=7d")
    shown = page.locator(".stat-value").first.get_attribute("title")
    stored = dashboard.client.query(
        "SELECT toString(sum(cost_total)) FROM spans WHERE project = 'default' AND billable"
        " AND start_time >= toStartOfDay(now('UTC')) - INTERVAL 6 DAY"
    ).result_rows[0][0]
    assert shown is not None
    assert shown.strip("$").rstrip("0") == stored.rstrip("0")


def test_a_view_is_saved_and_comes_back(visit: Open) -> None:
    tab = visit()
    page = tab.open("/calls?status=error&range=7d")
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Name of this view").fill("my errors")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".saved-list a")).to_have_text("my errors")
    tab.open("/")
    page.get_by_text("Views", exact=True).click()
    page.locator(".saved-list a").click()
    page.wait_for_url("**/calls?status=error&range=7d")
    tab.drawn()
