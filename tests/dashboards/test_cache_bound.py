"""The bound on wrong hits on the Cache page, and verdicts given there."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import fields

import pytest
from playwright.sync_api import expect

from spanledger.records import CallRecord, Event
from spanledger_collector.store.writes_evaluation import insert_events
from tests.dashboards.conftest import OPERATOR, READERS, Dashboard, Open

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]

PROJECT = "other"  # its traffic is nobody else's to count


def stands(dashboard: Dashboard, route: str, state: str, **told: object) -> None:
    evidence = {
        "threshold": 0.86,
        "bound": 0.0087,
        "allowed": 0.01,
        "checks": 412,
        "wrong": 1,
        "needed": 0,
        "audit_share": 0.05,
        **told,
    }
    event = Event(
        project=PROJECT, event_id=str(uuid.uuid4()), time=time.time_ns() - 10**9, kind="cache", subject=route,
        title=f"Semantic cache of {route} {state}", message=f"told of {route}; and more", evidence=json.dumps(evidence), state=state,
    )  # fmt: skip
    insert_events(dashboard.client, [event])


def would_be_hit(dashboard: Dashboard, route: str) -> CallRecord:
    row = CallRecord(
        project=PROJECT, trace_id=uuid.uuid4().bytes, span_id=b"wouldhit", start_time=time.time_ns() - 10**9,
        duration_ns=10**8, name="chat", operation="chat", route=route, cache="miss",
        attributes={
            "spanledger.cache.group": "g", "spanledger.cache.candidate": "0" * 32, "spanledger.cache.candidate_similarity": "0.91",
            "spanledger.cache.candidate_trace": "ab" * 16, "spanledger.cache.candidate_span": "cd" * 8,
        },
    )  # fmt: skip
    names = [entry.name for entry in fields(CallRecord)]
    dashboard.client.insert("spans", [[getattr(row, name) for name in names]], column_names=names)
    return row


def verdicts(dashboard: Dashboard, call: CallRecord) -> list[float]:
    rows = dashboard.client.query(
        "SELECT value FROM scores FINAL WHERE name = 'cache_hit_correct' AND source = 'human' AND trace_id = {id:String}",
        parameters={"id": call.trace_id},
    ).result_rows
    return [float(row[0]) for row in rows]


def test_a_routes_bound_stands_beside_what_is_allowed_and_what_is_missing(
    visit: Open, dashboard: Dashboard
) -> None:
    stands(dashboard, "bounded", "opened", open=True)
    stands(dashboard, "waiting", "closed", open=False, bound=0.2, needed=97)
    page = visit(READERS[PROJECT]).open("/cache")
    table = page.get_by_role("region", name="Bounds of the semantic cache")
    for words in ("0.87 %", "1.00 %", "412", "open", "0.86"):
        expect(table.locator("tr", has_text="bounded").first).to_contain_text(words)
    for words in ("20.00 %", "97", "closed"):
        expect(table.locator("tr", has_text="waiting").first).to_contain_text(words)
    expect(page.get_by_role("region", name="Steps of the semantic cache")).to_contain_text("told of bounded")


def test_a_person_says_that_a_would_be_hit_was_right_and_a_wrong_one_waits_for_redis(
    visit: Open, dashboard: Dashboard
) -> None:
    call = would_be_hit(dashboard, "judged")
    stands(dashboard, "judged", "opened", open=True)
    assert visit(READERS[PROJECT]).open("/cache").get_by_role("button", name="Right").count() == 0
    page = visit(OPERATOR).open(f"/cache?project={PROJECT}")
    table = page.get_by_role("region", name="Semantic hits and would-be hits")
    row = table.locator("tr", has_text="judged").first
    expect(row).to_contain_text("not checked")
    row.get_by_role("button", name="Wrong").click()
    expect(row.locator(".notice.red")).to_contain_text("may still be served")
    assert verdicts(dashboard, call) == []
    row.get_by_role("button", name="Right").click()
    expect(row.locator(".notice.green")).to_contain_text("Noted as right")
    assert verdicts(dashboard, call) == [1.0]
