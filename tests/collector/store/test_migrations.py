"""Migrations reach the same schema from anywhere, once."""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from urllib.parse import urlsplit, urlunsplit

import pytest
from inline_snapshot import snapshot

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import MigrationError, applied, migrate, read_migrations
from spanledger_collector.store.settings import StoreSettings
from tests.servers import command
from tests.stores import Store

pytestmark = pytest.mark.clickhouse


@pytest.fixture
def bare(clickhouse_url: str) -> Iterator[StoreSettings]:
    """Settings of a database that does not exist yet."""
    name = f"bare_{uuid.uuid4().hex[:12]}"
    settings = StoreSettings(clickhouse_url=urlunsplit(urlsplit(clickhouse_url)._replace(path=f"/{name}")))
    yield settings
    client = connect(settings, database="default")
    client.command("DROP DATABASE IF EXISTS {name:Identifier}", {"name": name})
    client.close()


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


def test_the_files_are_numbered_without_a_gap_and_each_statement_can_run_again() -> None:
    migrations = read_migrations()
    assert [int(migration.name[:4]) for migration in migrations] == list(range(1, len(migrations) + 1))
    for migration in migrations:
        assert migration.statements
        for statement in migration.statements:
            assert re.match(
                r"CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|DROP VIEW IF EXISTS|ALTER TABLE \w+ (MODIFY|\w+ \w+ IF )",
                statement,
            )


def test_no_shipped_migration_was_edited() -> None:
    """Checksums of what has been released: a change to an applied file stops every running system."""
    assert {migration.name: migration.checksum[:16] for migration in read_migrations()} == snapshot(
        {
            "0001_spans.sql": "dafbb0b84244986a",
            "0002_costs.sql": "57e9031639976bbf",
            "0003_scores.sql": "4a8ec87aae1efbe3",
            "0004_events.sql": "f08d54bcc651cd83",
            "0005_registry.sql": "cd3f64f6b9fbc713",
            "0006_evaluation.sql": "8ec34a8d10aaa7d2",
            "0007_ledger.sql": "836a9d78e633428c",
            "0008_workers.sql": "bf449722a3dc295b",
            "0009_config_events.sql": "d41277499b66691a",
            "0010_prompt_words.sql": "d02836b961c0bdca",
            "0011_finance.sql": "29fd2736bcd5b8c5",
            "0012_ledger_axes.sql": "3c6ba6e2759e84e0",
            "0013_timeline.sql": "65d4d857c62f2c8e",
            "0014_vendor_usage.sql": "13cf61310498b6e3",
            "0015_calls.sql": "a5d1fbf4c34920fe",
            "0016_cache_meetings.sql": "f22d4bd916e2556d",
        }
    )


def test_a_dry_run_says_what_is_missing_and_changes_nothing(bare: StoreSettings) -> None:
    assert migrate(bare, dry_run=True) == read_migrations()
    client = connect(bare, database="default")
    assert (
        client.command("SELECT count() FROM system.databases WHERE name = {n:String}", {"n": bare.database})
        == 0
    )
    client.close()


def test_several_processes_migrate_at_once_and_each_file_is_applied_once(bare: StoreSettings) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [call.result() for call in [pool.submit(migrate, bare) for _ in range(4)]]
    assert sorted(len(names) for names in done) == [0, 0, 0, len(read_migrations())]


def test_a_migration_cut_in_the_middle_is_completed_by_the_next(store: Store) -> None:
    """As after kill -9: the tables are there, the note that they were made is not, the lock still stands."""
    client = store.client
    client.command("DROP TABLE eval_jobs SYNC")
    client.command(
        "DELETE FROM schema_migrations WHERE name >= '0005'", settings={"lightweight_deletes_sync": 2}
    )
    client.command("CREATE TABLE schema_lock (x UInt8) ENGINE = Memory")
    with pytest.raises(MigrationError, match="schema_lock is its lock"):
        migrate(store.settings, wait_s=0.5)
    client.command("DROP TABLE schema_lock SYNC")
    names = [migration.name for migration in migrate(store.settings)]
    assert names[0] == "0005_registry.sql"
    assert client.command("EXISTS TABLE eval_jobs") == 1


def test_the_lock_of_a_dead_process_is_taken_over(store: Store) -> None:
    store.client.command("DELETE FROM schema_migrations WHERE 1", settings={"lightweight_deletes_sync": 2})
    store.client.command("CREATE TABLE schema_lock (x UInt8) ENGINE = Memory")
    time.sleep(2)
    assert len(migrate(store.settings, wait_s=10, stale_s=1)) == len(read_migrations())


def test_a_changed_file_is_refused_by_name(store: Store) -> None:
    client = store.client
    client.command(
        "ALTER TABLE schema_migrations UPDATE checksum = 'other' WHERE name = '0002_costs.sql'",
        settings={"mutations_sync": 2},
    )
    with pytest.raises(MigrationError, match=r"0002_costs\.sql was applied with another text"):
        migrate(store.settings)


def test_the_command_migrates_and_says_so(bare: StoreSettings) -> None:
    def run(*options: str) -> tuple[int, str]:
        env = os.environ | {"SPANLEDGER_CLICKHOUSE_URL": bare.clickhouse_url}
        done = subprocess.run(
            command("migrate", *options), env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, said = run("--dry-run")
    assert (code, "would apply 0001_spans.sql" in said, "CREATE TABLE IF NOT EXISTS spans" in said) == (
        0,
        True,
        True,
    )
    code, said = run()
    assert (code, said.count("applied ")) == (0, len(read_migrations()))
    assert run() == (0, f"{bare.database}: up to date\n")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/y", "http://h:port/db"])
def test_a_bad_url_is_refused_by_name(url: str) -> None:
    env = os.environ | {"SPANLEDGER_CLICKHOUSE_URL": url}
    done = subprocess.run(command("migrate"), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "SPANLEDGER_CLICKHOUSE_URL" in done.stderr
