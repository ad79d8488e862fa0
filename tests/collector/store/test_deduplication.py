"""An insert token made from the content makes an insert happen once, in the table and in its rollups."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

COLUMNS = [
    "project",
    "team",
    "trace_id",
    "span_id",
    "start_time",
    "duration_ns",
    "name",
    "billable",
    "cost_total",
]
START = 1_767_225_600_000_000_000  # 2026-01-01


def batch(first: int) -> list[list[Any]]:
    return [
        ["p", "t", number.to_bytes(16, "big"), number.to_bytes(8, "big"), START + number, 1, "chat", True, 1]
        for number in range(first, first + 100)
    ]


def insert(client: Client, rows: Sequence[Sequence[Any]], **settings: Any) -> None:
    client.insert("spans", rows, COLUMNS, settings=settings)


def counts(client: Client) -> tuple[int, int, int]:
    """Rows of the table, and the calls both rollups counted."""
    rows = client.query(
        "SELECT (SELECT count() FROM spans), (SELECT sum(calls) FROM cost_hour), (SELECT sum(calls) FROM cost_day)"
    )
    spans, hours, days = rows.result_rows[0]
    return spans, hours, days


def test_the_same_batch_twice_is_one_batch(store: Store) -> None:
    for _ in range(2):
        insert(store.client, batch(0), insert_deduplication_token="a")
    assert counts(store.client) == (100, 100, 100)


def test_a_torn_insert_is_completed_by_its_retry(store: Store) -> None:
    """The table committed and a rollup did not, as after a kill between the two."""
    client = store.client
    for view in ("cost_hour_mv", "cost_day_mv"):
        client.command(f"DETACH TABLE {view}")
    insert(client, batch(0), insert_deduplication_token="a")
    for view in ("cost_hour_mv", "cost_day_mv"):
        client.command(f"ATTACH TABLE {view}")
    assert counts(client) == (100, 0, 0)
    insert(client, batch(0), insert_deduplication_token="a")
    assert counts(client) == (100, 100, 100)


def test_different_batches_need_different_tokens(store: Store) -> None:
    insert(store.client, batch(0), insert_deduplication_token="a")
    insert(store.client, batch(100), insert_deduplication_token="b")
    assert counts(store.client) == (200, 200, 200)
    insert(store.client, batch(200), insert_deduplication_token="b")
    assert counts(store.client) == (200, 200, 200), (
        "a token is the batch's name: it must be made from its content"
    )


def test_a_token_is_remembered_across_clients(store: Store) -> None:
    token = uuid.uuid4().hex
    insert(store.client, batch(0), insert_deduplication_token=token)
    other = connect(store.settings)
    insert(other, batch(0), insert_deduplication_token=token)
    other.close()
    assert counts(store.client) == (100, 100, 100)
