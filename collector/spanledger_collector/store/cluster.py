"""One statement of a migration and a cluster's name in; the statements that do the same on the cluster out. Pure.

A table ``t`` becomes ``t_local`` (Replicated, on each node) and ``t`` (Distributed over them), so that reads and
writes keep their names. A small table that every node must see whole is one replicated table without shards.
"""

from __future__ import annotations

import re

SHARD_BY = {
    "spans": "cityHash64(trace_id)",  # a trace stays on one shard
    "cost_hour": "cityHash64(project, team)",  # written by views beside the spans, so on every shard
    "cost_day": "cityHash64(project, team)",
    "scores": "cityHash64(score_id)",  # versions of one row meet on one shard, or FINAL could not choose
    "events": "cityHash64(event_id)",
    "eval_jobs": "cityHash64(job_id)",
    "dead_letters": "rand()",
    "engine_samples": "cityHash64(gpu_pool, upstream)",
    "repricings": "cityHash64(trace_id)",
    "cache_meetings": "cityHash64(trace_id)",
    "gpu_costs": "cityHash64(gpu_pool, interval_start)",  # the revisions of an interval stay together
    "adjustments": "cityHash64(adjustment_id)",
    "invoice_lines": "cityHash64(line_id)",
    "invoice_imports": "cityHash64(import_id)",
    "forecasts": "cityHash64(project, subject)",
    "ledger_day": "cityHash64(project, team)",  # written by views beside the rows, so on every shard
    "ledger_user_day": "cityHash64(user_id)",
    "ledger_tags_day": "cityHash64(project, team)",
    "call_hour": "cityHash64(project)",
    "call_day": "cityHash64(project)",
    "person_day": "cityHash64(id)",
    "vendor_usage": "cityHash64(project, team)",
    "task_runs": "rand()",
    "eval_coverage": "cityHash64(project, evaluator)",
    "regression_rows": "cityHash64(project, regression)",
}
WHOLE = frozenset({"registry", "schema_migrations", "months"})
"""Tables that each node holds completely."""

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+)")
_PLAIN_VIEW = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+)")
_DROPPED_VIEW = re.compile(r"DROP VIEW IF EXISTS (\w+)")
_ALTER = re.compile(r"ALTER TABLE (\w+)")
_FROM = re.compile(r"\bFROM (\w+)")
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)\b")
_COLUMNS = re.compile(r"\b(ADD|DROP|MODIFY|RENAME) COLUMN\b")


def on_cluster(statement: str, cluster: str, database: str) -> list[str]:
    """The statements for a cluster.

    Raises ``ValueError`` for a statement of a kind, or a table, that this module does not know: a migration
    that could not run on a cluster must fail in the tests.
    """
    if found := _TABLE.match(statement):
        return _table(statement, found[1], cluster, database)
    if found := _VIEW.match(statement):
        return [_view(statement, found[1], found[2], cluster)]
    if found := _PLAIN_VIEW.match(statement):  # reads the Distributed tables, so on every node all rows
        return [statement.replace(found[0], f"{found[0]} ON CLUSTER '{cluster}'", 1)]
    if found := _DROPPED_VIEW.match(statement):
        return [f"{found[0]} ON CLUSTER '{cluster}'"]
    if found := _ALTER.match(statement):
        return _alter(statement, found[1], cluster)
    raise ValueError(f"no form for a cluster is known of: {statement[:60]}")


def create_database(database: str, cluster: str) -> str:
    """The statement that makes the database, on every node where a cluster is named."""
    return f"CREATE DATABASE IF NOT EXISTS `{database}`" + (f" ON CLUSTER '{cluster}'" if cluster else "")


def local_name(table: str) -> str:
    """The table that holds the rows on a node."""
    if table in WHOLE:
        return table
    if table not in SHARD_BY:
        raise ValueError(f"table {table} is in neither SHARD_BY nor WHOLE of {__name__}")
    return f"{table}_local"


def _table(statement: str, table: str, cluster: str, database: str) -> list[str]:
    local = local_name(table)
    made = statement.replace(f"EXISTS {table}", f"EXISTS {local} ON CLUSTER '{cluster}'", 1)
    made = made.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    if table in WHOLE:
        path = "('/clickhouse/tables/whole/{database}/{table}', '{shard}-{replica}')"
        return [_ENGINE.sub(lambda engine: f"ENGINE = Replicated{engine[1]}{path}", made, count=1)]
    made = _ENGINE.sub(lambda engine: f"ENGINE = Replicated{engine[1]}", made, count=1)
    spread = (
        f"CREATE TABLE IF NOT EXISTS {table} ON CLUSTER '{cluster}' AS {local} "
        f"ENGINE = Distributed('{cluster}', '{database}', '{local}', {SHARD_BY[table]})"
    )
    return [made, spread]


def _view(statement: str, view: str, target: str, cluster: str) -> str:
    head = f"EXISTS {view} ON CLUSTER '{cluster}' TO {local_name(target)}"
    made = statement.replace(f"EXISTS {view} TO {target}", head, 1)
    # The alias keeps columns that are qualified by the table's name valid.
    return _FROM.sub(lambda source: f"FROM {local_name(source[1])} AS {source[1]}", made)


def _alter(statement: str, table: str, cluster: str) -> list[str]:
    names = [local_name(table)]
    if table not in WHOLE and _COLUMNS.search(statement):
        names.append(table)  # the Distributed table has columns of its own
    return [
        statement.replace(f"ALTER TABLE {table}", f"ALTER TABLE {name} ON CLUSTER '{cluster}'", 1)
        for name in names
    ]
