"""Several collectors of one store: a span sent to two of them is stored once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import redis

from spanledger_collector.ingest.lease import RedisLease
from spanledger_collector.store.client import connect
from tests.otlp import SpanData, chat
from tests.stores import Store

from .conftest import Pipeline


@pytest.mark.clickhouse
@pytest.mark.broker
def test_span_that_two_collectors_hold_at_once_is_stored_once(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    broker = redis.Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    pipelines = [
        Pipeline(store, tmp_path / name, RedisLease(broker, "s", lambda: None), connect(store.settings))
        for name in ("a", "b")
    ]
    for _ in range(4):
        spans = [SpanData(attributes=chat()) for _ in range(50)]
        for pipeline in pipelines:
            pipeline.send(*spans)
        threads = [threading.Thread(target=pipeline.store_all) for pipeline in pipelines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for pipeline in pipelines:
        pipeline.close()
    (row,) = pipelines[0].rows(
        "SELECT count() AS n, uniqExact(span_id) AS spans, sum(cost_total) AS cost FROM spans"
    )
    assert (row["n"], row["spans"]) == (200, 200)
    (rollup,) = pipelines[0].rows("SELECT sum(cost) AS cost, sum(calls) AS n FROM cost_day")
    assert (rollup["cost"], rollup["n"]) == (row["cost"], 200)
    broker.close()


@pytest.mark.broker
def test_turn_passes_on_when_it_ends(redis_url: str) -> None:
    broker = redis.Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    first, second = (RedisLease(broker, "s", lambda: None) for _ in range(2))
    order: list[str] = []

    def wait() -> None:
        with second.turn():
            order.append("second")

    with first.turn():
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        first.renew()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert broker.exists("spanledger:ingest:s") == 0
    broker.close()


def test_without_redis_turns_are_taken_and_counted() -> None:
    unasked: list[int] = []
    away = redis.Redis(host="127.0.0.1", port=1)
    lease = RedisLease(away, "s", lambda: unasked.append(1))
    begun = time.monotonic()
    for _ in range(3):
        with lease.turn():
            lease.renew()
    assert len(unasked) == 3
    assert time.monotonic() - begun < 5
    away.close()
