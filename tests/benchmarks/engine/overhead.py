"""The same work in process and over HTTP in; what the server costs per query and per insert out.

CPU of client and server together, in process and over HTTP in turns, so that both meet the same machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.engine.handles import Handle
from spanledger_collector.store.migrations import migrate, read_migrations
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.engine.rows import COLUMNS, rows
from tests.benchmarks.process import cpu_s
from tests.benchmarks.report import Figure, at_most
from tests.servers import Engine

ROUNDS = 9


def overhead(engine: Engine, folder: Path) -> list[Figure]:
    """Figures for ``SELECT 1`` and for an insert of 10,000 spans with both rollups."""
    settings = StoreSettings(clickhouse_url=f"{engine.url}/overhead")
    migrate(settings)
    client = connect(settings)
    inside = Handle(folder, "inside", {})
    for migration in read_migrations():
        for statement in migration.statements:
            inside.run(statement)
    figures = _select(client, inside) + _insert(client, inside, engine.server.process.pid)
    client.close()
    inside.connection.close()
    return figures


def _select(client: Client, inside: Handle) -> list[Figure]:
    local: list[float] = []
    remote: list[float] = []
    for _ in range(300):
        local.append(_wall_ms(lambda: inside.run("SELECT 1")))
        remote.append(_wall_ms(lambda: client.command("SELECT 1")))
    there, here = statistics.median(remote), statistics.median(local)
    return [
        Figure("SELECT 1 in process, median", f"{here:.2f} ms"),
        Figure("SELECT 1 over HTTP, median", f"{there:.2f} ms"),
        at_most("SELECT 1: what HTTP adds", there - here, 2, " ms"),
    ]


def _insert(client: Client, inside: Handle, server: int) -> list[Figure]:
    native = _native(client)
    local: list[float] = []
    remote: list[float] = []
    for number in range(ROUNDS):
        before = time.process_time()
        _append(inside, native)
        local.append(time.process_time() - before)
        before = time.process_time() + cpu_s(server)
        client.raw_insert("spans", COLUMNS, native, {"insert_deduplication_token": f"b{number}"}, "Native")
        remote.append(time.process_time() + cpu_s(server) - before)
    here, there = statistics.median(local), statistics.median(remote)
    return [
        Figure("insert of 10,000 spans in process, CPU", f"{here * 1000:.0f} ms"),
        Figure("insert of 10,000 spans over HTTP, CPU", f"{there * 1000:.0f} ms"),
        at_most("insert: HTTP / in process, CPU", there / here, 1.1),
    ]


def _native(client: Client) -> bytes:
    """10,000 rows as the bytes a client would send."""
    client.insert("spans", rows(0, 10_000), COLUMNS)
    names = ", ".join(COLUMNS)
    data = client.raw_query(f"SELECT {names} FROM spans ORDER BY span_id", fmt="Native")  # noqa: S608
    client.command("TRUNCATE TABLE spans SYNC")
    return data


def _append(inside: Handle, native: bytes) -> None:
    names = ", ".join(COLUMNS)
    stream = inside.connection.send_insert(f"INSERT INTO spans ({names})", "Native")
    inside.connection.insert_append(stream, native)
    inside.connection.insert_done(stream)


def _wall_ms(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return (time.perf_counter() - before) * 1000
