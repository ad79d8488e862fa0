"""What people do on pages: who may, what comes of it, and that a forged request comes to nothing."""

from __future__ import annotations

import time
import uuid
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from spanledger.records import Event
from spanledger_collector.store.writes_evaluation import insert_events
from tests.dashboards.conftest import ADMIN, READERS, Dashboard, Open

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]


def fires(dashboard: Dashboard, subject: str) -> str:
    key = f"alert:{subject}"
    event = Event(
        project="default", event_id=str(uuid.uuid4()), time=time.time_ns() - 10**9, kind="alert", severity="warning",
        subject=subject, title=f"{subject} is too high", dedup_key=key, state="firing", author="workers",
    )  # fmt: skip
    insert_events(dashboard.client, [event])
    return key


def said(dashboard: Dashboard, key: str) -> list[tuple[str, str]]:
    rows = dashboard.client.query(
        "SELECT state, author FROM events WHERE kind = 'silence' AND dedup_key = {key:String} ORDER BY time",
        parameters={"key": key},
    ).result_rows
    return [(str(state), str(author)) for state, author in rows]


def test_a_firing_alert_is_acknowledged_and_silenced(visit: Open, dashboard: Dashboard) -> None:
    key = fires(dashboard, "acting-one")
    tab = visit(ADMIN)
    page = tab.open("/events?subject=acting-one")
    row = page.locator("table", has=page.get_by_text("Who is at it")).locator("tbody tr").first
    row.get_by_role("button", name="Acknowledge").click()
    expect(row.locator(".notice.green").filter(has_text="Acknowledged")).to_be_visible()
    row.get_by_label("Why").fill("known load test")
    row.get_by_role("button", name="Silence").click()
    expect(row.locator(".notice.green").filter(has_text="Silenced for 1 h")).to_be_visible()
    assert said(dashboard, key) == [("acknowledged", "key admin"), ("silenced", "key admin")]
    page.reload()
    tab.drawn()
    expect(page.locator("main")).to_contain_text("silenced by key admin until")
    page.get_by_role("button", name="Tell it again").click()
    expect(page.locator(".notice.green").filter(has_text="told again")).to_be_visible()
    assert said(dashboard, key)[-1][0] == "unsilenced"


def test_a_reader_sees_no_buttons_and_a_forged_press_changes_nothing(
    visit: Open, dashboard: Dashboard
) -> None:
    key = fires(dashboard, "acting-two")
    page = visit().open("/events?subject=acting-two")
    expect(page.get_by_text("Firing now").first).to_be_visible()
    assert page.get_by_role("button", name="Acknowledge").count() == 0
    page = visit(ADMIN).open("/events?subject=acting-two")
    with page.expect_request(lambda asked: "acknowledge" in (asked.post_data or "")) as pressed:
        page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".notice.green").filter(has_text="Acknowledged")).to_be_visible()
    body = pressed.value.post_data or ""
    assert "acknowledge" in body
    for reader in (READERS["default"], READERS["other"]):
        cookie, headers = dashboard.cookie(reader), {"content-type": "application/json"}
        answer = dashboard.get(urlsplit(pressed.value.url).path, cookie, "POST", headers, body)
        assert "may not change anything" in answer.body
    assert said(dashboard, key) == [("acknowledged", "key admin")]


def test_a_person_scores_a_call_and_adds_it_to_a_dataset(visit: Open, dashboard: Dashboard) -> None:
    tab = visit(ADMIN)
    page = tab.open("/calls?route=gpt-4o")
    page.locator(".ledger-grid a.a").first.click()
    page.wait_for_url("**/traces/**")
    tab.drawn()
    form = page.locator("section.panel", has=page.get_by_role("heading", name="Your verdict"))
    form.get_by_label("Why", exact=True).fill("right, and short")
    form.get_by_role("button", name="Say so").click()
    expect(form.locator(".notice.green").filter(has_text="Noted: helpful pass")).to_be_visible()
    form.get_by_label("Dataset", exact=True).fill("acting")
    form.get_by_label("The answer should have been").fill("forty-two")
    form.get_by_role("button", name="Add to dataset").click()
    expect(form.locator(".notice.green").filter(has_text="Marked.")).to_be_visible()
    rows = dashboard.client.query(
        "SELECT name, value, label, explanation, source, author FROM scores FINAL"
        " WHERE project = 'default' AND author = 'key admin' ORDER BY name"
    ).result_rows
    assert [tuple(row) for row in rows] == [
        ("dataset", None, "acting", "forty-two", "human", "key admin"),
        ("helpful", 1.0, "", "right, and short", "human", "key admin"),
    ]


def test_a_rule_is_tried_on_the_past_and_then_saved(visit: Open, dashboard: Dashboard) -> None:
    tab = visit(ADMIN)
    page = tab.open(
        "/rules?metric=error_rate&threshold=0.01&window_s=3600&min_samples=1&dimension=route&value=gpt-4o"
    )
    editor = page.locator("section.panel", has=page.get_by_role("heading", name="Try a rule on the past"))
    expect(editor).to_contain_text("windows with enough samples pass the threshold")
    editor.get_by_label("Name", exact=True).fill("errors-of-gpt-4o")
    editor.get_by_label("Name", exact=True).press("Tab")
    editor.get_by_role("button", name="Save as a rule").click()
    expect(editor.locator(".notice.green").filter(has_text="Saved as alert errors-of-gpt-4o")).to_be_visible()
    (version,) = dashboard.registry.history("default", "alert", "errors-of-gpt-4o")
    assert version.document["scope"] == {"route": "gpt-4o"}
    assert (version.document["threshold"], version.author) == (0.01, "key admin")
    page = tab.open("/rules?metric=nonsense&threshold=1")
    expect(page.locator(".notice")).to_contain_text("is no metric. There are: calls, errors")
