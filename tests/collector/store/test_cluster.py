"""With a cluster named, every migration becomes Replicated and Distributed tables that the engine can parse."""

from __future__ import annotations

import re

import pytest

from spanledger_collector.store.cluster import SHARD_BY, WHOLE, local_name, on_cluster
from spanledger_collector.store.migrations import read_migrations, statements_of
from spanledger_collector.store.settings import StoreSettings
from tests.stores import Store

SETTINGS = StoreSettings(clickhouse_url="http://ch:8123/ledger", cluster="main")
STATEMENTS = [made for migration in read_migrations() for made in statements_of(migration, SETTINGS)]


def test_every_table_is_replicated_and_every_statement_runs_on_the_cluster() -> None:
    assert STATEMENTS
    assert [made for made in STATEMENTS if "ON CLUSTER 'main'" not in made] == []
    engines = {engine for made in STATEMENTS for engine in re.findall(r"ENGINE = (\w+)", made)}
    assert {engine for engine in engines if not engine.startswith("Replicated")} == {"Distributed"}
    assert [made for made in STATEMENTS if "non_replicated_deduplication_window" in made] == []


def test_every_table_is_either_spread_over_shards_or_whole_on_each_node() -> None:
    made = {name for made in STATEMENTS for name in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", made)}
    whole = WHOLE & made
    assert made == whole | set(SHARD_BY) | {f"{table}_local" for table in SHARD_BY}


def test_a_view_reads_and_writes_the_tables_of_its_own_node() -> None:
    views = [made for made in STATEMENTS if "MATERIALIZED VIEW" in made]
    assert len(views) == 21
    for view in views:
        assert re.search(
            r" TO (cost_hour|cost_day|ledger_day|ledger_user_day|ledger_tags_day|vendor_usage|events|call_hour|call_day|person_day)_local\b",
            view,
        )
        assert re.search(
            r"FROM ((spans|repricings|gpu_costs|adjustments)_local AS \2|registry AS registry)\b", view
        )


def test_the_ledger_view_reads_the_rows_of_all_nodes() -> None:
    (view,) = [made for made in STATEMENTS if made.startswith("CREATE VIEW IF NOT EXISTS ledger ")]
    assert "EXISTS ledger ON CLUSTER 'main'" in view
    assert "_local" not in view


@pytest.mark.clickhouse
def test_the_engines_parser_accepts_every_statement_of_either_form(store: Store) -> None:
    plain = [statement for migration in read_migrations() for statement in migration.statements]
    for statement in [*plain, *STATEMENTS]:
        assert "Query" in str(store.client.command(f"EXPLAIN AST {statement}"))


@pytest.mark.clickhouse
def test_a_view_over_the_local_table_counts_as_the_plain_one_does(store: Store) -> None:
    """Runs the cluster's view on one server: only the cluster itself is taken out of the statement."""
    client = store.client
    view = next(made for made in STATEMENTS if "cost_day_mv" in made).replace(" ON CLUSTER 'main'", "")
    client.command("DROP TABLE cost_day_mv SYNC")
    for table in ("spans", "cost_day"):
        client.command(f"RENAME TABLE {table} TO {local_name(table)}")
    client.command(view)
    client.command(
        "INSERT INTO spans_local (project, start_time, billable, cost_total, input_tokens, cache_read_tokens) "
        "VALUES ('p', now64(9), true, 0.5, 7, 3)"
    )
    rows = client.query("SELECT project, calls, toString(cost), input_tokens FROM cost_day_local").result_rows
    assert rows == [("p", 1, "0.5", 10)]


def test_an_altered_column_is_altered_on_both_and_a_ttl_on_the_rows_only() -> None:
    added = on_cluster("ALTER TABLE spans ADD COLUMN IF NOT EXISTS x String", "main", "ledger")
    assert added == [
        "ALTER TABLE spans_local ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS x String",
        "ALTER TABLE spans ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS x String",
    ]
    kept = on_cluster("ALTER TABLE spans MODIFY TTL toDateTime(start_time)", "main", "ledger")
    assert kept == ["ALTER TABLE spans_local ON CLUSTER 'main' MODIFY TTL toDateTime(start_time)"]


@pytest.mark.parametrize("statement", ["CREATE TABLE t (x UInt8) ENGINE = MergeTree", "DROP TABLE spans"])
def test_what_has_no_form_for_a_cluster_is_refused(statement: str) -> None:
    with pytest.raises(ValueError, match="no form for a cluster"):
        on_cluster(statement, "main", "ledger")


def test_a_table_nobody_placed_is_refused() -> None:
    with pytest.raises(ValueError, match="neither SHARD_BY nor WHOLE"):
        on_cluster("CREATE TABLE IF NOT EXISTS novel (x UInt8) ENGINE = MergeTree", "main", "ledger")
