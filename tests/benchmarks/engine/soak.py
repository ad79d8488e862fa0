"""A running engine and a duration in; whether its memory, threads and files stay flat under mixed use out.

One writer and four readers, with what goes wrong in life among it: errors, limits, kills, clients that leave
in the middle of an answer, broken inserts, forms, every kind of format.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException

from clickhouse_connect.driver.exceptions import Error

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect, connect_reader
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.engine.rows import COLUMNS, rows
from tests.benchmarks.process import open_files, rss_bytes, threads
from tests.benchmarks.report import Figure, at_most
from tests.http_raw import connection, request
from tests.servers import Engine

BATCH = 200
KEEP = 20_000  # rows the table is cut back to, so that only leaks can grow
MIB = 1024 * 1024


class Soak:
    """The load and what it did."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = StoreSettings(clickhouse_url=f"{engine.url}/soak")
        migrate(self._settings)
        self._stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.samples: list[tuple[int, int, int]] = []

    def run(self, duration_s: float) -> None:
        """Load the engine, taking a sample a second."""
        pid = self._engine.server.process.pid
        with ThreadPoolExecutor(5) as pool:
            jobs = [pool.submit(self._write)] + [pool.submit(self._read, seed) for seed in range(4)]
            end = time.monotonic() + duration_s
            while time.monotonic() < end and not any(job.done() for job in jobs):
                self.samples.append((rss_bytes(pid), threads(pid), open_files(pid)))
                time.sleep(1)
            self._stop.set()
            for job in jobs:
                job.result()

    def _write(self) -> None:
        client = connect(self._settings)
        written = 0
        while not self._stop.is_set():
            token = f"soak-{written}"
            client.insert(
                "spans", rows(written, BATCH), COLUMNS, settings={"insert_deduplication_token": token}
            )
            written += BATCH
            self.done["inserts"] += 1
            if written % KEEP == 0:
                assert client.command("SELECT count() FROM spans") == KEEP, "rows were lost or doubled"
                for table in ("spans", "cost_hour", "cost_day"):
                    client.command("TRUNCATE TABLE {table:Identifier} SYNC", {"table": table})
            self._stop.wait(0.1)
        client.close()

    def _read(self, seed: int) -> None:
        dice = random.Random(seed)
        reader = connect_reader(self._settings)
        uses: list[tuple[str, Callable[[], object]]] = [
            ("page", lambda: reader.query(
                "SELECT project, team, sum(cost_total), quantile(0.95)(duration_ns) FROM spans GROUP BY 1, 2")),
            ("trace", lambda: reader.query(
                "SELECT * FROM spans WHERE trace_id = {id:FixedString(16)}", {"id": dice.randbytes(16).hex()[:16]})),
            ("search", lambda: reader.query(
                "SELECT span_id, input, output FROM spans WHERE hasToken(lower(output), {word:String}) LIMIT 50",
                {"word": f"word{dice.randrange(3000):04d}"})),
            ("stream", lambda: self._stream(reader)),
            ("form", lambda: reader.query("SELECT length({text:String})", {"text": "x" * 100_000})),
            ("json", lambda: request(self._url(), "SELECT * FROM spans LIMIT 200 FORMAT JSON")),
            ("arrow", lambda: request(self._url(), "SELECT * FROM spans LIMIT 200 FORMAT Arrow")),
            ("error", lambda: reader.query("SELECT nope FROM spans")),
            ("limit", lambda: reader.query("SELECT number FROM numbers(200000)")),
            ("late error", lambda: request(self._url(), "SELECT throwIf(number = 500000) FROM numbers(600000)")),
            ("broken insert", lambda: request(self._url(), "INSERT INTO soak.spans FORMAT Native\nbroken")),
            ("session", lambda: request(self._url(), "CREATE TEMPORARY TABLE mine (x UInt8)")),
            ("leave", lambda: self._leave(dice)),
            ("kill", lambda: request(self._url(), "KILL QUERY WHERE query LIKE '%1e15%' ASYNC")),
        ]  # fmt: skip
        while not self._stop.is_set():
            name, use = dice.choice(uses)
            with suppress(Error, OSError, HTTPException):
                use()
            self.done[name] += 1
            self._stop.wait(0.1)
        reader.close()

    def _url(self) -> str:
        return f"{self._engine.url}/?database=soak"

    @staticmethod
    def _stream(reader: Client) -> None:
        with reader.query_row_block_stream("SELECT number, toString(number) FROM numbers(100000)") as blocks:
            for _ in blocks:
                pass

    def _leave(self, dice: random.Random) -> None:
        link = connection(self._engine.url)
        slow = "SELECT count() FROM numbers(toUInt64(1e15)) WHERE sipHash64(number) = 1"
        link.request("POST", "/", dice.choice([slow, "SELECT number FROM numbers(toUInt64(1e15))"]))
        time.sleep(dice.random() * 0.2)
        link.close()


def soak(engine: Engine, duration_s: float) -> list[Figure]:
    """Run and judge: the last fifth of the time against the second fifth, medians."""
    load = Soak(engine)
    load.run(duration_s)
    fifth = len(load.samples) // 5
    early, late = load.samples[fifth : 2 * fifth], load.samples[-fifth:]

    def growth(index: int) -> float:
        return statistics.median(s[index] for s in late) / statistics.median(s[index] for s in early)

    peak = max(sample[0] for sample in load.samples) / MIB
    used = ", ".join(f"{name} {count}" for name, count in sorted(load.done.items()))
    return [
        Figure("soak: requests", str(sum(load.done.values())), used),
        at_most("soak: memory, last fifth / second fifth", growth(0), 1.1),
        at_most("soak: threads, last fifth / second fifth", growth(1), 1.1),
        at_most("soak: open files, last fifth / second fifth", growth(2), 1.1),
        at_most("soak: peak memory", peak, 1500, " MiB", 0),
    ]
