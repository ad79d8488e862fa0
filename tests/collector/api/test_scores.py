"""A verdict sent twice, late or corrected is one score, at the time of what it is about."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from spanledger_collector.ingest.redact import REFRESH_S
from spanledger_collector.store.registry.plan import Draft
from tests.collector.rows import NOON, call

from .conftest import Ledger
from .test_calls import WINDOW, listed

pytestmark = pytest.mark.clickhouse

TRACE, SPAN = f"{1:032x}", f"{1:016x}"


@pytest.fixture
def writer(ledger: Ledger) -> TestClient:
    return ledger.client("ingest", "read")


def post(writer: TestClient, **more: Any) -> str:
    body = {"trace_id": TRACE, "span_id": SPAN, "name": "helpful", "value": 1, **more}
    answer = writer.post("/api/scores", json={"scores": [body]})
    assert answer.status_code == 200, answer.text
    return answer.json()["score_ids"][0]


def test_a_score_stands_at_the_time_and_route_of_its_call(ledger: Ledger, writer: TestClient) -> None:
    ledger.insert(call(1, route="r", upstream="u"))
    post(writer, value=0.25, explanation="because")
    (found,) = listed(writer, "scores")
    assert (found["value"], found["explanation"], found["source"]) == (0.25, "because", "api")
    assert (found["time"], found["route"], found["upstream"]) == (NOON + 10**9, "r", "u")
    assert found["request_model"] == "gpt-4o"


def test_what_rules_name_is_taken_out_of_an_explanation(ledger: Ledger, writer: TestClient) -> None:
    rule = Draft(kind="redaction", name="mail", document={"detectors": ["email"]})
    ledger.registry.put(ledger.project, rule, author="test")
    ledger.insert(call(1))
    time.sleep(REFRESH_S)  # rules act a second after they were made
    post(writer, explanation="ask ann@example.com about it")
    (found,) = listed(writer, "scores")
    assert found["explanation"] == "ask [email] about it"


def test_the_same_again_replaces(ledger: Ledger, writer: TestClient) -> None:
    ledger.insert(call(1))
    first = post(writer, value=0)
    assert post(writer, value=1) == first
    assert [row["value"] for row in listed(writer, "scores")] == [1]


def test_a_score_that_came_before_its_call_is_replaced_too(ledger: Ledger, writer: TestClient) -> None:
    post(writer, value=0, time=NOON)
    ledger.insert(call(1))
    post(writer, value=1)
    assert [(row["value"], row["time"]) for row in listed(writer, "scores")] == [(1, NOON)]


def test_different_people_and_names_are_different_scores(ledger: Ledger, writer: TestClient) -> None:
    ledger.insert(call(1))
    ids = {post(writer), post(writer, author="ann"), post(writer, name="tone"), post(writer, span_id="")}
    assert len(ids) == 4
    assert len(listed(writer, "scores")) == 4
    assert {row["time"] for row in listed(writer, "scores")} == {NOON + 10**9}


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": None},
        {"status": "timeout"},
        {"value": "NaN"},
        {"trace_id": "12"},
        {"name": ""},
        {"valeu": 1},
        {"cost": "-1"},
    ],
)
def test_what_is_no_verdict_is_refused(writer: TestClient, wrong: dict[str, Any]) -> None:
    body = {"trace_id": TRACE, "span_id": SPAN, "name": "helpful", "value": 1, **wrong}
    answer = writer.post("/api/scores", json={"scores": [body]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert listed(writer, "scores") == []


def test_writing_scores_asks_for_ingest(ledger: Ledger) -> None:
    answer = ledger.client("read", "admin").post("/api/scores", json={"scores": []})
    assert answer.status_code == 403


def test_a_score_keeps_the_window_it_is_asked_in(ledger: Ledger, writer: TestClient) -> None:
    ledger.insert(call(1))
    post(writer)
    assert writer.get("/api/scores", params={**WINDOW, "until": str(NOON)}).json()["scores"] == []
