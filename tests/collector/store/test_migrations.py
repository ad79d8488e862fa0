"""Migrations reach the same schema from anywhere, once."""

from __future__ import annotations

from dataclasses import fields

import pytest

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.migrations import applied, migrate, read_migrations
from tests.conftest import Store

pytestmark = pytest.mark.clickhouse


def columns(client: Client, table: str) -> list[str]:
    rows = client.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {t:String} ORDER BY position",
        {"t": table},
    )
    return [str(row[0]) for row in rows.result_rows]


# Columns that the database fills in by itself.
OWN = {"spans": {"inserted_at"}}


@pytest.mark.parametrize(("table", "record"), [("spans", CallRecord), ("scores", Score), ("events", Event)])
def test_a_record_has_a_column_for_each_field_and_a_field_for_each_column(
    store: Store, table: str, record: type[CallRecord | Score | Event]
) -> None:
    assert {field.name for field in fields(record)} == set(columns(store.client, table)) - OWN.get(
        table, set()
    )


def test_migrating_again_changes_nothing(store: Store) -> None:
    assert migrate(store.settings) == []
    assert list(applied(store.client, store.settings.database)) == [m.name for m in read_migrations()]
