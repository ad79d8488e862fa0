"""A home folder and a number of kills in; whether kill -9 at random moments lost or doubled a row out."""

from __future__ import annotations

import random
import threading
import time
from hashlib import sha256
from pathlib import Path

from clickhouse_connect.driver.exceptions import Error

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.engine.rows import COLUMNS, rows
from tests.benchmarks.report import Figure, at_most
from tests.servers import free_port, start_engine

BATCH = 200


class Crash:
    """One store that is killed again and again, and what was acknowledged by it."""

    def __init__(self, home: Path, seed: int) -> None:
        self._home = home
        self._port = free_port()
        self._dice = random.Random(seed)
        self.acked = 0
        self.retried = 0
        self.restarts_s: list[float] = []

    def live(self, kill_after_s: float | None) -> tuple[int, int, int]:
        """One life of the engine: check, insert until it dies, or until 5 batches when it shall live."""
        before = time.monotonic()
        engine = start_engine(self._home, self._port)
        self.restarts_s.append(time.monotonic() - before)
        try:
            settings = StoreSettings(clickhouse_url=f"{engine.url}/crash")
            migrate(settings)
            client = connect(settings, query_retries=0)
            counted = _counts(client)
            if kill_after_s is not None:
                threading.Timer(kill_after_s, engine.server.kill).start()
            self._insert_until_dead(client, None if kill_after_s is not None else 5)
            return counted if kill_after_s is not None else _counts(client)
        except Error:
            return 0, 0, 0  # it died before anything was asked
        finally:
            engine.server.kill()

    def _insert_until_dead(self, client: Client, batches: int | None) -> None:
        while batches is None or batches > 0:
            batch = rows(self.acked * BATCH, BATCH, input_words=50, output_words=10)
            token = sha256(repr(batch).encode()).hexdigest()
            try:
                client.insert("spans", batch, COLUMNS, settings={"insert_deduplication_token": token})
            except (Error, OSError):
                self.retried += 1
                return
            self.acked += 1
            batches = batches - 1 if batches is not None else None

    def moment_s(self) -> float:
        """When to kill, in seconds after the first insert may start."""
        return self._dice.random() * 1.5


def crash(home: Path, kills: int) -> list[Figure]:
    """Kill so often, then count."""
    store = Crash(home, seed=kills)
    for _ in range(kills):
        store.live(store.moment_s())
    spans, hours, days = store.live(None)
    expected = store.acked * BATCH
    slowest = max(store.restarts_s)
    return [
        Figure(
            f"crash: {kills} kills, acknowledged batches", str(store.acked), f"{store.retried} sent again"
        ),
        at_most("crash: rows lost", max(expected - spans, 0), 0, digits=0),
        at_most("crash: rows doubled", max(spans - expected, 0), 0, digits=0),
        at_most("crash: rollups off by", abs(spans - hours) + abs(spans - days), 0, digits=0),
        at_most("crash: slowest restart", slowest, 15, " s"),
    ]


def _counts(client: Client) -> tuple[int, int, int]:
    spans, hours, days = client.query(
        "SELECT (SELECT count() FROM spans), (SELECT sum(calls) FROM cost_hour), (SELECT sum(calls) FROM cost_day)"
    ).result_rows[0]
    return spans, hours, days
