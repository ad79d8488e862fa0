"""The worker as a process: calls land in the store, and scores, switches and budget steps come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spanledger.serving.budgets import counter_key
from spanledger_workers.memory import connect_memory
from tests.servers import Server, command, spawn
from tests.stores import Store

from .conftest import World

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]


@pytest.fixture
def worker(store: Store, redis_url: str, tmp_path: Path) -> Iterator[Server]:
    env = {
        "SPANLEDGER_CLICKHOUSE_URL": store.url,
        "SPANLEDGER_REDIS_URL": redis_url,
        "SPANLEDGER_HOME": str(tmp_path),
        "SPANLEDGER_WORKER_CONCURRENCY": "1",
        "SPANLEDGER_WORKER_PORT": "0",
    }
    with spawn(command("worker"), tmp_path / "worker.log", lambda: True, env) as server:
        yield server
        print(server.output()[-5000:])


def test_a_new_rag_answer_gets_its_score(world: World, worker: Server) -> None:
    world.document("evaluator", "grounded", {"scorers": ["groundedness"], "filter": {"has_documents": True}})
    good = world.rag_call()
    bad = world.rag_call(answer="Napoleon ordered seven copper statues from Lisbon merchants.")
    world.rag_call(contexts=())
    world.rag_call(purpose="eval")
    query = (
        "SELECT trace_id, value, status, upstream, sample_rate, evaluator FROM scores FINAL ORDER BY trace_id"
    )
    rows = world.await_rows(query, lambda found: len(found) >= 2)
    assert [row["trace_id"] for row in rows] == [good[0], bad[0]]
    assert rows[0]["value"] > 0.9 > 0.5 > rows[1]["value"]
    assert {row["status"] for row in rows} == {"ok"}


def test_a_bad_stretch_moves_the_route_and_good_probes_move_it_back(
    world: World, worker: Server, redis_url: str
) -> None:
    targets = [
        {"upstream": "openai", "model": "gpt-4o"},
        {"upstream": "backup", "model": "llama", "role": "fallback"},
    ]
    quality = {"score": "groundedness", "floor": 0.7, "min_samples": 10, "cooldown_s": 1, "window_s": 120}
    world.document("upstream", "openai", {"base_url": "http://127.0.0.1:1/v1"})
    world.document("upstream", "backup", {"base_url": "http://127.0.0.1:1/v1"})
    world.document("route", "answers", {"targets": targets, "quality": quality})
    world.document("evaluator", "grounded", {"scorers": ["groundedness"]})
    begun = time.monotonic()
    for _ in range(12):
        world.rag_call(answer="Napoleon ordered seven copper statues from Lisbon merchants.")
    events = (
        "SELECT kind, state, dedup_key, message FROM events WHERE kind != 'config_change' ORDER BY time, kind"
    )
    rows = world.await_rows(events, lambda found: len(found) >= 2)
    assert [(row["kind"], row["state"]) for row in rows] == [
        ("alert", "firing"),
        ("route_switch", "fallback"),
    ]
    assert time.monotonic() - begun < 60
    client = connect_memory(redis_url)
    key = "spanledger:route:shop:answers"
    assert client.hget(key, "state") == "fallback"
    assert float(client.hget(key, "canary") or 0) == 0.1

    client.delete(key)  # Redis forgets; the events do not
    time.sleep(2)
    for _ in range(15):
        world.rag_call()
    rows = world.await_rows(events, lambda found: len(found) >= 4)
    assert [(row["kind"], row["state"]) for row in rows[2:]] == [
        ("alert", "resolved"),
        ("route_switch", "primary"),
    ]
    assert client.hget(key, "state") == "primary"


def test_spend_past_a_threshold_is_told_once_and_refills_a_lost_counter(
    world: World, worker: Server, redis_url: str
) -> None:
    budget = {"amount": "0.01", "period": "day", "scope": {"team": "search"}, "alert_at": [0.5, 1.0]}
    world.document("budget", "search", budget)
    world.rag_call(team="search", cost="0.006")
    world.rag_call(team="other", cost="5")
    steps = "SELECT state, title FROM events FINAL WHERE kind = 'budget_step' ORDER BY time, title"
    world.await_rows(steps, lambda found: len(found) == 1)
    client = connect_memory(redis_url)
    key = counter_key("shop", "search", "day", datetime.now(UTC))
    assert client.hget(key, "spent") == "6000000"
    client.delete(key)
    world.rag_call(team="search", cost="0.005")
    rows = world.await_rows(steps, lambda found: len(found) == 2)
    assert [row["state"] for row in rows] == ["reached", "blocked"]
    time.sleep(4)
    assert client.hget(key, "spent") == "11000000"
    alerts = world.rows("SELECT count() AS n FROM events WHERE kind = 'alert'")
    assert alerts[0]["n"] == 2
