"""What pages read of the semantic cache: where tiers stand, what checks cost, and the hits to look at."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from spanledger.records import CallRecord, Event, Score, ScoreSource
from spanledger_collector.store.reads.cache_bound import history, standings
from spanledger_collector.store.reads.cache_checks import check_spend, meetings, verdicts_about
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.writes_evaluation import insert_events, insert_scores
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

NOW = 1_790_000_000 * 10**9
WINDOW = Window(NOW - 10**12, NOW + 10**12)


def told(store: Store, state: str, seconds: int, *, kind: Any = "cache", **evidence: object) -> None:
    event = Event(
        project="shop", event_id=f"{state} {seconds}", time=NOW + seconds * 10**9, kind=kind, subject="answers", title=state,
        evidence=json.dumps(evidence), state=state,
    )  # fmt: skip
    insert_events(store.client, [event])


def spans(store: Store, *rows: dict[str, Any]) -> None:
    names = [entry.name for entry in fields(CallRecord)]
    records: list[CallRecord] = []
    for number, row in enumerate(rows, 1):
        given: dict[str, Any] = {
            "project": "shop", "trace_id": number.to_bytes(16), "span_id": number.to_bytes(8), "start_time": NOW + number,
            "duration_ns": 1, "name": "chat", "billable": True, "route": "answers",
        }  # fmt: skip
        records.append(CallRecord(**(given | row)))
    store.client.insert("spans", [[getattr(row, n) for n in names] for row in records], column_names=names)


def test_a_tier_stands_where_it_was_told_last(store: Store) -> None:
    told(store, "opened", 1, bound=0.009, allowed=0.01, threshold=0.86, checks=400, open=True)
    told(store, "measured", 2, kind="cache_bound", bound=0.008, allowed=0.01, checks=450, open=True)
    told(store, "closed", 3, bound=0.02, allowed=0.01, needed=300, open=False)
    (standing,) = standings(store.client, "shop")
    assert (standing.state, standing.is_open, standing.bound, standing.needed) == ("closed", False, 0.02, 300)
    assert [entry.state for entry in history(store.client, "shop", WINDOW)] == [
        "opened",
        "measured",
        "closed",
    ]
    assert standings(store.client, "other") == []


def test_the_caches_own_work_has_a_cost(store: Store) -> None:
    spans(
        store,
        {"purpose": "cache_check", "cost_total": Decimal("0.002")},
        {"purpose": "cache_embed", "cost_total": Decimal("0.0001")},
        {"purpose": "cache_check"},
        {"purpose": "", "cost_total": Decimal(1)},
    )
    for number, cost in enumerate((Decimal("0.003"), None)):
        score = Score(
            project="shop", score_id=str(number), trace_id=bytes(16), name="cache_hit_correct", value=1.0, source="judge",
            cost=cost, time=NOW, created_at=NOW,
        )  # fmt: skip
        insert_scores(store.client, [score])
    spent = check_spend(store.client, "shop", WINDOW)
    assert spent.cost == Decimal("0.0051")
    assert (spent.asked, spent.embedded, spent.verdicts, spent.unpriced) == (2, 1, 2, 2)


def test_hits_and_would_be_hits_come_with_the_verdict_that_counts(store: Store) -> None:
    candidate = {
        "spanledger.cache.group": "g",
        "spanledger.cache.candidate": "e2",
        "spanledger.cache.candidate_similarity": "0.9",
    }
    spans(
        store,
        {"cache": "semantic", "cache_entry": "e1", "cache_similarity": 0.95, "attributes": {"spanledger.cache.group": "g"}},
        {"cache": "miss", "attributes": candidate},
        {"cache": "miss"},
    )  # fmt: skip
    found = meetings(store.client, "shop", WINDOW)
    assert [(row["entry"], round(row["similarity"], 3)) for row in found] == [("e2", 0.9), ("e1", 0.95)]
    said: list[tuple[ScoreSource, float, int]] = [("human", 0.0, NOW), ("judge", 1.0, NOW + 5)]
    for source, value, moment in said:
        score = Score(
            project="shop", score_id=source, trace_id=(1).to_bytes(16), span_id=(1).to_bytes(8), name="cache_hit_correct",
            value=value, source=source, time=NOW, created_at=moment,
        )  # fmt: skip
        insert_scores(store.client, [score])
    verdicts = verdicts_about(store.client, "shop", [row["trace"] for row in found])
    assert [row["source"] for row in verdicts.values()] == ["human"]
