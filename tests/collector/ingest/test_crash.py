"""Kill -9 at a random moment, a torn insert, a store that is away, rows it refuses: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from spanledger_collector.ingest import prepared
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.writes import Insert, arrow_insert, is_retryable, send
from tests.otlp import SpanData, body, chat
from tests.stores import Store

from .conftest import Collector, Pipeline, make, record

pytestmark = pytest.mark.clickhouse


def test_acknowledged_spans_survive_kills_and_are_stored_once(module_store: Store, tmp_path: Path) -> None:
    collector = make(module_store, tmp_path / "killed")
    acknowledged: list[SpanData] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            span = SpanData(attributes=chat(), name="killed")
            while not stop.is_set():
                try:
                    if collector.post(body(span)).status == 200:
                        acknowledged.append(span)
                        break
                except OSError:
                    time.sleep(0.02)
            time.sleep(0.01)

    sender = threading.Thread(target=load)
    sender.start()
    dice = random.Random(5)
    for _ in range(2):
        with collector.running() as server:
            time.sleep(dice.uniform(0.2, 1.2))
            server.kill()
    with collector.running():
        time.sleep(0.5)
        stop.set()
        sender.join()
        collector.settled()
    assert len(acknowledged) > 10
    rows = collector.rows("SELECT span_id, count() AS n FROM spans WHERE name = 'killed' GROUP BY span_id")
    assert {row["n"] for row in rows} == {1}
    assert {span.span_id for span in acknowledged} <= {row["span_id"] for row in rows}
    rollups_equal(collector)


def rollups_equal(collector: Collector | Pipeline) -> None:
    (table,) = collector.rows("SELECT countIf(billable) AS calls, sum(cost_total) AS cost FROM spans")
    for name in ("cost_hour", "cost_day"):
        (rollup,) = collector.rows(f"SELECT sum(calls) AS calls, sum(cost) AS cost FROM {name}")  # noqa: S608
        assert rollup == table, name
    for name in ("call_hour", "call_day"):
        (rollup,) = collector.rows(f"SELECT sumIf({name}.calls, billable) AS calls FROM {name}")  # noqa: S608
        assert rollup["calls"] == table["calls"], name


def test_torn_insert_is_completed_by_the_same_bytes(pipeline: Pipeline) -> None:
    """The table has the rows and a rollup does not: what a kill between the two leaves."""
    spans = [SpanData(attributes=chat()) for _ in range(5)]
    pipeline.send(*spans)
    segment = pipeline.spool.take(0, 0)
    assert segment is not None
    inserts, _ = pipeline.writer.prepare(segment)
    prepared.write(segment.prepared, inserts)
    client = pipeline.store.client
    client.command("RENAME TABLE cost_day_mv TO aside")
    client.command("DETACH TABLE aside")
    send(client, inserts[0])
    client.command("ATTACH TABLE aside")
    client.command("RENAME TABLE aside TO cost_day_mv")
    pipeline.writer.write(segment)
    (row,) = pipeline.rows("SELECT count() AS n FROM spans")
    assert row["n"] == 5
    rollups_equal(pipeline)


def test_damaged_prepared_batch_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "1.prepared"
    kept = [
        Insert("spans", ("a", "b"), "t", b"body", 3, (("p", 5, "aa"),)),
        Insert("scores", ("c",), "u", b"", 0),
    ]
    prepared.write(path, kept)
    assert prepared.read(path) == kept
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert prepared.read(path) is None
    assert prepared.read(tmp_path / "none") is None


def test_rows_the_store_refuses_are_set_aside_and_the_others_stored(pipeline: Pipeline) -> None:
    client = pipeline.store.client
    client.command("ALTER TABLE spans ADD CONSTRAINT no_poison CHECK name != 'poison'")
    good = [SpanData(name=f"good {n}", attributes=chat()) for n in range(6)]
    pipeline.send(*good[:3], SpanData(name="poison"), *good[3:])
    pipeline.store_all()
    rows = pipeline.rows("SELECT name FROM spans ORDER BY name")
    assert [row["name"] for row in rows] == [span.name for span in good]
    (letter,) = pipeline.rows("SELECT reason, message, project, unhex(payload) AS payload FROM dead_letters")
    assert (letter["reason"], letter["project"]) == ("refused_by_store", "p")
    assert "poison" in letter["payload"]
    rollups_equal(pipeline)


def test_request_that_cannot_be_read_any_more_is_set_aside_whole(pipeline: Pipeline) -> None:
    pipeline.spool.append(record(b"\xff\xff not a request")).result(5)
    pipeline.send(SpanData())
    pipeline.store_all()
    (row,) = pipeline.rows(
        "SELECT (SELECT count() FROM spans) AS spans, count() AS letters FROM dead_letters"
    )
    assert (row["spans"], row["letters"]) == (1, 1)


def test_errors_that_pass_are_told_from_those_that_stay(store: Store) -> None:
    assert is_retryable(OSError("refused"))
    row = {
        "project": "p",
        "trace_id": b"x" * 16,
        "span_id": b"y" * 8,
        "start_time": 1,
        "duration_ns": 1,
        "name": "n",
    }
    insert = arrow_insert("spans", [row], "t")
    with pytest.raises(DatabaseError) as missing:
        send(store.client, Insert("nowhere", insert.columns, "t", insert.body, 1))
    assert is_retryable(missing.value), "a migration may yet make it"
    with pytest.raises(DatabaseError) as wrong:
        send(store.client, Insert("spans", insert.columns, "t", b"no arrow", 1))
    assert not is_retryable(wrong.value)


def test_price_document_of_a_project_is_used_from_the_next_batch_on(pipeline: Pipeline) -> None:
    document = {"provider": "openai", "model": "gpt-4o", "input": "10", "output": "0"}
    Registry(pipeline.store.client).put("p", Draft(kind="price", name="ours", document=document), author="t")
    for project in ("p", "q"):
        pipeline.send(SpanData(attributes=chat()), project=project)
    pipeline.store_all()
    rows = pipeline.rows(
        "SELECT project, cost_total, price_source, price_version FROM spans ORDER BY project"
    )
    assert [(r["project"], str(r["cost_total"]), r["price_source"]) for r in rows] == [
        ("p", "0.010000000", "override"), ("q", "0.003500000", "genai-prices"),
    ]  # fmt: skip
    assert rows[0]["price_version"] == "ours@1"
