"""Migrated databases for tests: made once, lent to one test after another, empty each time."""

from __future__ import annotations

import uuid
from functools import cached_property
from urllib.parse import urlsplit, urlunsplit

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import APPLIED, migrate
from spanledger_collector.store.settings import StoreSettings

_SHAPE = f"""SELECT groupBitXor(cityHash64(name, replaceAll(create_table_query, currentDatabase(), ''))),
    (SELECT groupBitXor(cityHash64(name, checksum)) FROM {APPLIED})
FROM system.tables WHERE database = currentDatabase()"""  # noqa: S608
_FILLED = f"""SELECT name FROM system.tables
WHERE database = currentDatabase() AND total_rows > 0 AND engine LIKE '%MergeTree' AND name != '{APPLIED}'"""  # noqa: S608


class Store:
    """A migrated database of one test's own."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings

    @property
    def url(self) -> str:
        return self.settings.clickhouse_url

    @cached_property
    def client(self) -> Client:
        """A writer client for the database."""
        return connect(self.settings)


class Stores:
    """Databases of one engine. Migrating takes a second of the engine's time, emptying a few milliseconds."""

    def __init__(self, clickhouse_url: str) -> None:
        self._url = clickhouse_url
        self._free: list[StoreSettings] = []
        self._shape: tuple[object, ...] = ()

    def lend(self) -> Store:
        """An empty database with every migration applied."""
        if self._free:
            return Store(self._free.pop())
        path = f"/test_{uuid.uuid4().hex[:12]}"
        made = Store(StoreSettings(clickhouse_url=urlunsplit(urlsplit(self._url)._replace(path=path))))
        migrate(made.settings)
        self._shape = self._shape or _shape(made.client)
        return made

    def take_back(self, store: Store) -> None:
        """Empty what a test has filled; a database that it changed otherwise is dropped."""
        if _shape(store.client) == self._shape:
            for (table,) in store.client.query(_FILLED).result_rows:
                store.client.command(f"TRUNCATE TABLE {table} SYNC")
            self._free.append(store.settings)
        else:
            store.client.command(f"DROP DATABASE {store.settings.database}")
        store.client.close()


def _shape(client: Client) -> tuple[object, ...]:
    return tuple(client.query(_SHAPE).result_rows[0])
