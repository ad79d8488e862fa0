"""The numbered SQL files of ``schema/`` in; a database that has each of them exactly once out."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from clickhouse_connect.driver.exceptions import DatabaseError

from .clickhouse import Client
from .client import connect
from .cluster import create_database, on_cluster
from .settings import StoreSettings

APPLIED = "schema_migrations"
LOCK = "schema_lock"
STALE_S = 120.0
TABLE_EXISTS = 57
_OWN = f"""CREATE TABLE IF NOT EXISTS {APPLIED} (
    name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY name"""
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql\Z")


class MigrationError(Exception):
    """The database and the files disagree, or another process holds the lock for too long."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``schema/``: its name, its text and the text's SHA-256 in hex."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements in order, without comments on lines of their own and without semicolons."""
        return split_statements(self.sql)


def read_migrations() -> list[Migration]:
    """The shipped migrations in the order of their numbers."""
    folder = files("spanledger_collector.store") / "schema"
    found = [
        Migration(entry.name, entry.read_text()) for entry in folder.iterdir() if _FILE.match(entry.name)
    ]
    return sorted(found, key=lambda migration: migration.name)


def split_statements(sql: str) -> list[str]:
    """Cut at semicolons that end a line; our own files hold none inside a literal."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";[ \t]*(?:--[^\n]*)?(?:\n|\Z)", "\n".join(lines))
    return [part.strip() for part in parts if part.strip()]


def migrate(
    settings: StoreSettings, *, dry_run: bool = False, wait_s: float = 60, stale_s: float = STALE_S
) -> list[Migration]:
    """Apply what is missing, under a lock, and return it; with ``dry_run`` only return it.

    Creates the database, and all of it on the cluster where one is named. Raises ``MigrationError`` when a file
    that was applied has changed since, or when another process keeps the lock for ``wait_s`` seconds. A lock older than
    ``stale_s`` belongs to a process that died; every statement can be run again.
    """
    client = connect(settings, database="default")
    try:
        pending = _pending(read_migrations(), applied(client, settings.database))
        if dry_run or not pending:
            return pending
        return _apply_all(client, settings, wait_s, stale_s)
    finally:
        client.close()


def statements_of(migration: Migration, settings: StoreSettings) -> list[str]:
    """What a migration runs, on one server or on the cluster of the settings."""
    if not settings.cluster:
        return migration.statements
    return [
        made
        for statement in migration.statements
        for made in on_cluster(statement, settings.cluster, settings.database)
    ]


def applied(client: Client, database: str) -> dict[str, str]:
    """Checksums by name of the migrations a database has; empty where there is none yet."""
    exists = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}"
    if not client.command(exists, {"database": database, "name": APPLIED}):
        return {}
    known = f"SELECT name, any(checksum) FROM {{database:Identifier}}.{APPLIED} GROUP BY name ORDER BY name"  # noqa: S608
    rows = client.query(known, {"database": database}).result_rows
    return {str(row[0]): str(row[1]) for row in rows}


def _pending(shipped: Sequence[Migration], has: Mapping[str, str]) -> list[Migration]:
    for migration in shipped:
        if has.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was applied with another text; undo the change and add a new migration"
            )
    return [migration for migration in shipped if migration.name not in has]


def _apply_all(client: Client, settings: StoreSettings, wait_s: float, stale_s: float) -> list[Migration]:
    database, cluster = settings.database, settings.cluster
    client.command(create_database(database, cluster))
    client.database = database
    with _locked(client, cluster, wait_s, stale_s):
        own = Migration("", _OWN)
        for statement in statements_of(own, settings):
            client.command(statement)
        pending = _pending(
            read_migrations(), applied(client, database)
        )  # another process may have been first
        for migration in pending:
            for statement in statements_of(migration, settings):
                client.command(statement)
            client.insert(APPLIED, [[migration.name, migration.checksum]], column_names=["name", "checksum"])
        return pending


@contextmanager
def _locked(client: Client, cluster: str, wait_s: float, stale_s: float) -> Generator[None]:
    """Creating a table is atomic, so a table is the lock; its comment says who holds it.

    On a cluster statements pass through one queue, so the second to create it fails on every node.
    """
    deadline = time.monotonic() + wait_s
    while not _take_lock(client, cluster, stale_s):
        if time.monotonic() > deadline:
            raise MigrationError(f"another process migrates since {wait_s:g} s (table {LOCK} is its lock)")
        time.sleep(0.2)
    try:
        yield
    finally:
        client.command(_drop_lock(cluster))


def _take_lock(client: Client, cluster: str, stale_s: float) -> bool:
    owner = f"{socket.gethostname()}:{os.getpid()}".replace("'", "")
    try:
        client.command(f"CREATE TABLE {LOCK}{_on(cluster)} (x UInt8) ENGINE = Memory COMMENT '{owner}'")
        return True
    except DatabaseError as refused:
        if refused.code != TABLE_EXISTS:
            raise
    age = client.command(
        "SELECT dateDiff('second', metadata_modification_time, now()) FROM system.tables "
        "WHERE database = currentDatabase() AND name = {name:String}",
        {"name": LOCK},
    )
    if isinstance(age, int) and age > stale_s:
        client.command(_drop_lock(cluster))
    return False


def _drop_lock(cluster: str) -> str:
    return f"DROP TABLE IF EXISTS {LOCK}{_on(cluster)} SYNC"


def _on(cluster: str) -> str:
    return f" ON CLUSTER '{cluster}'" if cluster else ""
