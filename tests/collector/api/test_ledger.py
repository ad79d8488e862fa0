"""Money adds up to the rows, events and scores come as they stand, page by page."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from spanledger_collector.store.registry.plan import Draft
from tests.collector.rows import NOON, call, event, score

from .conftest import Ledger
from .test_calls import WINDOW, listed

pytestmark = pytest.mark.clickhouse

DAY = 86400 * 10**9
WHOLE_DAYS = {"since": str(NOON // DAY * DAY - DAY), "until": str(NOON // DAY * DAY + 2 * DAY)}


@pytest.mark.parametrize("window", [WINDOW, WHOLE_DAYS], ids=["from spans", "from daily sums"])
@pytest.mark.parametrize("by", [[], ["team"], ["team", "model"]])
def test_costs_add_up_to_the_rows(
    ledger: Ledger, reader: TestClient, window: dict[str, str], by: list[str]
) -> None:
    chooser = random.Random(2)
    rows = [
        call(
            n,
            team=chooser.choice(["a", "b", ""]),
            request_model=chooser.choice(["m1", "m2"]),
            cost_total=chooser.choice([None, Decimal("0.000000001"), Decimal("12345.678901234")]),
            billable=chooser.random() < 0.8,
        )
        for n in range(80)
    ]
    ledger.insert(*rows, call(99, project="other"))
    answer = reader.get("/api/costs", params={**window, "by": by})
    expected: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.billable:
            group = {"team": row.team, "model": row.request_model}
            expected[tuple(group[name] for name in by)] += row.cost_total or Decimal(0)
    assert {tuple(line["group"].values()): Decimal(line["cost"]) for line in answer.json()} == expected
    assert sum(line["unpriced"] for line in answer.json()) == sum(
        row.billable and row.cost_total is None for row in rows
    )


def test_costs_refuse_a_dimension_that_is_none(reader: TestClient) -> None:
    answer = reader.get("/api/costs", params={"by": "input"})
    assert (answer.status_code, "choose from" in answer.json()["detail"]) == (422, True)


def test_events_are_filtered_and_paged(ledger: Ledger, reader: TestClient) -> None:
    rows = [event(n, time=NOON + n // 3, kind="alert" if n % 2 else "route_switch") for n in range(20)]
    ledger.insert(*rows, event(99, project="other"))
    assert len({row["event_id"] for row in listed(reader, "events", limit=4)}) == 20
    assert len(listed(reader, "events", limit=3, kind="alert")) == 10
    assert reader.get("/api/events", params={"kind": "nothing"}).status_code == 422


def test_scores_come_as_corrected_filtered_and_paged(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(*(score(n, time=NOON + n // 3, value=n / 10) for n in range(10)))
    ledger.insert(score(3, time=NOON + 1, value=0.99, created_at=NOON + 1))
    found = listed(reader, "scores", limit=3)
    assert {row["score_id"]: row["value"] for row in found}["score-3"] == 0.99
    assert len(found) == 10
    assert len(listed(reader, "scores", min_value=0.5, max_value=0.7)) == 3
    assert listed(reader, "scores", name="other") == []


def test_the_overview_sums_the_window_and_its_buckets(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(
        *(call(n, status="error" if n == 3 else "ok") for n in range(10)),
        score(1, value=0.5),
    )
    body: dict[str, Any] = reader.get("/api/overview", params={**WINDOW, "step_s": 60}).json()
    assert (body["totals"]["calls"], body["totals"]["errors"]) == (10, 1)
    assert Decimal(body["totals"]["cost"]) == Decimal("0.01")
    assert sum(bucket["calls"] for bucket in body["series"].values()) == 10
    assert body["scores"][0]["mean"] == 0.5
    assert reader.get("/api/overview", params={"since": "300d", "step_s": 1}).status_code == 422


def test_costs_speak_other_currencies_and_tags_and_past_knowledge(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(
        call(1, tags=["cc:7"], cost_total=Decimal(2)), call(2, tags=["cc:8"], cost_total=Decimal(1))
    )
    ledger.registry.put(ledger.project, Draft(kind="currency", name="EUR", document={"rates": [{"from": "2020-01-01", "per_usd": "0.5"}]}), "ana")  # fmt: skip
    lines = reader.get("/api/costs", params={**WHOLE_DAYS, "by": "tag:cc", "currency": "EUR"}).json()
    assert {line["group"]["tag:cc"]: (Decimal(line["cost"]), line["currency"]) for line in lines} == {
        "7": (1, "EUR"), "8": (Decimal("0.5"), "EUR"),
    }  # fmt: skip
    assert reader.get("/api/costs", params={**WHOLE_DAYS, "currency": "XXX"}).status_code == 422
    (only,) = reader.get("/api/costs", params={**WHOLE_DAYS, "tag": "cc:7", "category": "api"}).json()
    assert Decimal(only["cost"]) == 2
    assert reader.get("/api/costs", params={**WHOLE_DAYS, "known_before": "2001-01-01"}).json() == []


def test_allocated_costs_add_up_and_show_what_nobody_bears(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(
        call(1, team="a", cost_total=Decimal(3)),
        call(2, service="search", cost_total=Decimal(2)),
        call(3, cost_total=Decimal(1)),
    )
    ledger.registry.put(ledger.project, Draft(kind="allocation", name="x", document={"match": {"service": "search"}, "shares": {"b": "0.25"}}), "ana")  # fmt: skip
    lines = reader.get("/api/costs", params={**WHOLE_DAYS, "by": "team", "allocate": "true"}).json()
    found = {line["group"]["team"]: (Decimal(line["cost"]), Decimal(line["allocated"])) for line in lines}
    assert found == {
        "a": (3, 0),
        "": (Decimal("2.5"), Decimal("-0.5")),
        "b": (Decimal("0.5"), Decimal("0.5")),
    }


def test_what_if_prices_the_same_tokens_elsewhere(ledger: Ledger, reader: TestClient) -> None:
    ledger.insert(
        call(1, input_tokens=1_000_000, output_tokens=100_000, cost_total=Decimal("3.5")), call(2, team="b")
    )
    asked = {
        **WHOLE_DAYS,
        "provider": "openai",
        "model": "gpt-5-mini",
        "gpus": 1,
        "usd_per_hour": "1",
        "input_per_s": 5000,
        "output_per_s": 500,
    }
    body = reader.get("/api/whatif", params={**asked, "team": ""}).json()
    assert (body["calls"], Decimal(body["cost_now"]), Decimal(body["cost_on_model"])) == (
        1,
        Decimal("3.5"),
        Decimal("0.45"),
    )
    assert Decimal(body["pool"]["cost"]) == 72
    assert reader.get("/api/whatif", params={**asked, "model": "nobody-knows"}).status_code == 422
    assert reader.get("/api/whatif", params={**WHOLE_DAYS, "gpus": 1}).status_code == 422
