"""Every page draws in a real browser, says nothing on the console and asks nobody outside."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboards.conftest import OPERATOR, Dashboard, Open

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]

PAGES = {
    "/": "Overview",
    "/calls": "Calls",
    "/spend": "Spend",
    "/events": "Alerts and events",
}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_draws(visit: Open, path: str, scheme: str) -> None:
    tab = visit(scheme=scheme, width=1024 if scheme == "dark" else 1440)
    page = tab.open(path)
    expect(page.locator("#main h1")).to_have_text(PAGES[path])
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
    assert page.locator(".empty").count() == 0
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_data_says_what_to_do_next(visit: Open, path: str) -> None:
    page = visit().open(f"{path}?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z")
    expect(page.locator(".empty").first).to_be_visible()
    assert "time range" in page.locator(".empty").first.inner_text()


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
    page.locator("nav .item", has_text="Spend").click()
    page.wait_for_url("**/spend?range=7d")
    tab.drawn()


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


def test_figures_of_spend_add_up_to_the_calls(visit: Open, dashboard: Dashboard) -> None:
    page = visit().open("/spend?range=7d")
    shown = page.locator(".stat-value").first.get_attribute("title")
    stored = dashboard.client.query(
        "SELECT toString(sum(cost_total)) FROM spans WHERE project = 'default' AND billable"
        " AND start_time >= toStartOfDay(now('UTC')) - INTERVAL 6 DAY"
    ).result_rows[0][0]
    assert shown is not None
    assert shown.strip("$").rstrip("0") == stored.rstrip("0")
