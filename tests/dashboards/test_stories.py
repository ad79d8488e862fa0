"""One question a user, answered by clicking alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.dashboards.conftest import Open

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]


def test_a_developer_finds_why_a_call_was_slow(visit: Open) -> None:
    tab = visit()
    page = tab.open("/")
    page.locator("a.stat", has_text="Latency p95").click()
    page.wait_for_url("**/calls?**order=duration_ns**")
    tab.drawn()
    page.locator(".ledger-grid .ag-row[row-index='0'] a.a").first.click()
    page.wait_for_url("**/traces/**")
    tab.drawn()
    expect(page.locator("a.wf-row.chosen")).to_have_count(1)
    widths = page.locator(".wf-bar").evaluate_all("bars => bars.map(bar => parseFloat(bar.style.width))")
    assert max(widths) > 50  # the waterfall shows which span took the time
    expect(page.locator(".facts dt", has_text="Took").first).to_be_visible()
    expect(page.locator(".facts dt", has_text="Attempt").first).to_be_visible()


def test_an_ml_engineer_sees_that_version_b_is_worse_and_on_which_cases(visit: Open) -> None:
    tab = visit()
    page = tab.open("/")
    page.locator("nav .item", has_text="Experiments").click()
    page.wait_for_url("**/experiments**")
    tab.drawn()
    verdict = (
        page.locator("table", has=page.get_by_text("What these cases can show")).locator("tbody tr").first
    )
    expect(verdict.locator(".badge")).to_have_text("worse")
    assert re.search(r"[-\u2212]0\.\d+ to [-\u2212]0\.\d+", verdict.inner_text())
    cases = page.locator("table", has=page.get_by_text("Answer before"))
    assert float(cases.locator("tbody tr").first.locator("td").last.inner_text()) < 0
    cases.locator("tbody tr").first.locator("a").last.click()
    page.wait_for_url("**/traces/**")
    tab.drawn()
    expect(page.locator(".turn.assistant").first).to_be_visible()
    expect(page.locator(".score-head").first).to_contain_text("groundedness")


def test_a_finance_analyst_finds_who_spends_the_budget_and_when_it_ends(visit: Open) -> None:
    tab = visit()
    page = tab.open("/")
    page.locator("nav .item", has_text="Budgets").click()
    page.wait_for_url("**/budgets**")
    tab.drawn()
    budget = page.locator("section.panel.wide", has=page.get_by_role("heading", name="support-month"))
    expect(budget.locator(".stat", has_text="Ends").locator(".stat-value")).not_to_be_empty()
    spender = budget.locator("table tbody tr").first.locator("td").first.inner_text()
    assert spender.startswith("user-")
    budget.get_by_role("link", name="Its spend").click()
    page.wait_for_url("**/spend?**team=support**")
    tab.drawn()
    rows = page.locator("table tbody tr")
    assert rows.count() >= 1
    rows.first.get_by_role("link").last.click()
    page.wait_for_url("**/calls?**")
    tab.drawn()
    expect(page.locator(".summary strong").first).not_to_have_text("0")
