"""Calls are found by every filter, page by page without gap or repetition."""

from __future__ import annotations

import json
import math
import random
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.collector.rows import NOON, call, score

from .conftest import Ledger

pytestmark = pytest.mark.clickhouse

WINDOW = {"since": str(NOON - 10**12), "until": str(NOON + 10**12)}


def listed(reader: TestClient, path: str = "calls", **query: Any) -> list[dict[str, Any]]:
    """Every row of every page."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = reader.get(f"/api/{path}", params={**WINDOW, **query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        (found,) = (value for name, value in body.items() if name != "next")
        rows += found
        cursor = body["next"]
        if not cursor:
            return rows


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["span"], 16) for row in rows]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_neither_repeat_nor_skip_calls_that_began_at_the_same_moment(
    ledger: Ledger, reader: TestClient, order: str
) -> None:
    rows = [call(n, start_time=NOON + n // 7) for n in range(50)]
    random.Random(4).shuffle(rows)
    ledger.insert(*rows)
    found = listed(reader, order=order, limit=3)
    assert sorted(numbers(found)) == list(range(50))
    starts = [row["start_ns"] for row in found]
    assert starts == sorted(starts, reverse=order == "newest")


def test_calls_that_arrive_do_not_shift_the_pages_that_follow(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(*(call(n) for n in range(4)))
    first = reader.get("/api/calls", params={**WINDOW, "limit": 2}).json()
    ledger.insert(call(9))
    second = reader.get("/api/calls", params={**WINDOW, "limit": 2, "cursor": first["next"]}).json()
    assert numbers(first["calls"]) == [3, 2]
    assert numbers(second["calls"]) == [1, 0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "error"}, [2]),
        ({"model": "claude"}, [3]),
        ({"provider": "openai", "model": "gpt-4o", "status": "ok", "team": ""}, [5, 4, 1]),
        ({"team": "search"}, [3, 2]),
        ({"user_id": "u'1"}, [4]),
        ({"session_id": "s1"}, [4]),
        ({"tag": ["a", "b"]}, [5]),
        ({"tag": "a"}, [5, 4]),
        ({"min_cost": "0.5"}, [3]),
        ({"unpriced": True}, [5]),
        ({"min_duration_ns": 2 * 10**9}, [2]),
        ({"max_duration_ns": 10**9 - 1}, [1]),
        ({"show": "all", "billable": None}, [6, 5, 4, 3, 2, 1]),
        ({"show": "all", "operation": "retrieval"}, [6]),
        ({"text": "refund Policy"}, [1]),
        ({"text": "refund nothing"}, []),
        ({"text": "Ärger"}, [2]),
        ({"prompt_has": 'SAY "hi"\nthere'}, [3]),
        ({"prompt_text": "HI say"}, [3]),
        ({"prompt_text": "there"}, [3]),
        ({"prompt_text": "her"}, []),
        ({"prompt_text": "say nothing"}, []),
        ({"score": "groundedness"}, [5, 4, 1]),
        ({"score": "groundedness", "max_score": 0.5}, [4, 1]),
        ({"score": "groundedness", "min_score": 0.6}, [5]),
        ({"score": "other"}, []),
        ({"trace_id": (4).to_bytes(16, "big").hex()}, [4]),
    ],
)
def test_each_filter_picks_its_calls(
    ledger: Ledger, reader: TestClient, query: dict[str, Any], expected: list[int]
) -> None:
    ledger.insert(
        call(1, output="Our refund policy: 30 days.", duration_ns=10**8),
        call(2, status="error", team="search", duration_ns=3 * 10**9, output="Das macht Ärger."),
        call(
            3,
            request_model="gpt-4o",
            response_model="claude",
            team="search",
            cost_total=Decimal("0.5"),
            input=json.dumps([{"role": "user", "parts": [{"type": "text", "content": 'Say "hi"\nthere'}]}]),
        ),
        call(4, user_id="u'1", session_id="s1", tags=["a"]),
        call(5, tags=["a", "b"], cost_total=None),
        call(6, billable=False, operation="retrieval"),
        score(1, value=0.2),
        score(4, value=0.5),
        score(4, value=0.9, score_id="not valid", status="judge_error"),
        score(5, value=0.8, span_id=b""),
    )
    query = {name: value for name, value in query.items() if value is not None}
    assert numbers(listed(reader, **query)) == expected


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"modle": "x"}, "no parameter 'modle'"),
        ({"text": "?!"}, "no word to search for"),
        ({"min_cost": "1e5"}, "min_cost is a decimal number"),
        ({"min_score": 1}, "need score"),
        ({"since": "yesterday"}, "'yesterday' is no time"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "a window ends after it starts"),
        ({"cursor": "AAAA"}, "cursor is none of this path"),
        ({"cursor": "WzEsMl0"}, "cursor is none of this path"),
        ({"limit": 0}, "values that are not allowed"),
        ({"limit": 1001}, "values that are not allowed"),
        ({"trace_id": "xyz"}, "values that are not allowed"),
    ],
)
def test_what_cannot_be_meant_is_refused(reader: TestClient, query: dict[str, Any], detail: str) -> None:
    answer = reader.get("/api/calls", params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


def test_one_call_comes_with_everything_recorded_and_money_as_a_string(
    ledger: Ledger, reader: TestClient
) -> None:
    ledger.insert(call(1, output="hello", attributes={"a": "b"}, temperature=0.5, seed=None))
    found = reader.get(f"/api/calls/{1:032x}/{1:016x}").json()
    assert found["output"] == "hello"
    assert found["attributes"] == {"a": "b"}
    assert (found["cost_total"], found["cost_input"], found["seed"]) == ("0.001000000", None, None)
    assert found["start_time"] == NOON + 10**9
    assert reader.get(f"/api/calls/{1:032x}/{2:016x}").status_code == 404


def test_numbers_that_json_does_not_know_do_not_break_an_answer(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(call(1, temperature=math.nan, gpu_seconds=math.inf), score(1, value=math.inf))
    assert reader.get(f"/api/calls/{1:032x}/{1:016x}").json()["temperature"] is None
    assert reader.get("/api/scores", params=WINDOW).json()["scores"][0]["value"] is None
    assert reader.get(f"/api/traces/{1:032x}").status_code == 200
    assert reader.get("/api/overview", params={**WINDOW, "step_s": 60}).status_code == 200


def test_a_trace_comes_as_spans_in_order_of_time_with_its_scores(ledger: Ledger, reader: TestClient) -> None:
    trace = (7).to_bytes(16, "big")
    ledger.insert(
        call(8, trace_id=trace, parent_span_id=(7).to_bytes(8, "big")),
        call(7, trace_id=trace, billable=False),
        score(7, span_id=b"", name="helpful"),
    )
    found = reader.get(f"/api/traces/{trace.hex()}").json()
    assert [(span["span"], span["parent"]) for span in found["spans"]] == [
        (f"{7:016x}", ""),
        (f"{8:016x}", f"{7:016x}"),
    ]
    assert [entry["name"] for entry in found["scores"]] == ["helpful"]
    assert reader.get(f"/api/traces/{9:032x}").status_code == 404


@pytest.mark.parametrize("order", ["last", "cost", "calls"])
def test_sessions_and_users_are_paged_in_each_order(ledger: Ledger, reader: TestClient, order: str) -> None:
    chooser = random.Random(1)
    rows = [
        call(
            n,
            session_id=f"s{chooser.randrange(9)}",
            user_id=f"u{chooser.randrange(4)}",
            cost_total=Decimal(chooser.randrange(3)),
        )
        for n in range(60)
    ]
    ledger.insert(*rows)
    for path, attribute in (("sessions", "session_id"), ("users", "user_id")):
        found = listed(reader, path, order=order, limit=2)
        by_id = {
            name: [row for row in rows if getattr(row, attribute) == name]
            for name in {r["id"] for r in found}
        }
        assert sorted(by_id) == sorted({getattr(row, attribute) for row in rows})
        assert len(found) == len(by_id)
        for entry in found:
            mine = by_id[entry["id"]]
            assert entry["calls"] == len(mine)
            assert Decimal(entry["cost"]) == sum((row.cost_total or Decimal(0)) for row in mine)
            assert entry["last"] == max(row.start_time for row in mine)
        values = [Decimal(entry[order]) for entry in found]
        assert values == sorted(values, reverse=True)
