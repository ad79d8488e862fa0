"""What reads cost the engine: CPU of the questions pages and the API ask, at millions of rows.

``make bench-reads`` (``SPANLEDGER_BENCH_ROWS``, default 5,000,000 spans; about two minutes). The rows carry
no prompts but for a second store of a tenth of the size, which the searches and full records are asked of.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect, connect_reader
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.reads import calls, ledger, overview, people, spend, traces
from spanledger_collector.store.reads.window import DAY, Window
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.process import cpu_s
from tests.benchmarks.reads.generate import DAYS, generate
from tests.benchmarks.report import Figure, at_most, report
from tests.servers import Engine, start_engine

REPEATS = 15
PROJECT = "p1"


@dataclass(frozen=True)
class Asked:
    """A running engine and what its process uses."""

    engine: Engine

    @property
    def pid(self) -> int:
        """The engine's process."""
        return self.engine.server.process.pid

    def filled(self, database: str, rows: int, end: int, words: tuple[int, int]) -> Client:
        """A reader of a new database of so many rows."""
        settings = StoreSettings(clickhouse_url=f"{self.engine.url}/{database}")
        migrate(settings)
        generate(connect(settings, send_receive_timeout=3600), rows, end, *words)
        return connect_reader(settings)

    def settle(self, timeout_s: float = 180) -> None:
        """Wait until the engine has merged what was inserted: merges are no cost of a question."""
        deadline, quiet = time.monotonic() + timeout_s, 0
        while quiet < 3 and time.monotonic() < deadline:
            before = cpu_s(self.pid)
            time.sleep(1)
            quiet = quiet + 1 if cpu_s(self.pid) - before < 0.05 else 0

    def cpu_ms(self, question: Callable[[], Any]) -> float:
        """Mean CPU of the engine for one question, once warm."""
        question()
        before = cpu_s(self.pid)
        for _ in range(REPEATS):
            question()
        return (cpu_s(self.pid) - before) / REPEATS * 1000


def wall_ms(question: Callable[[], Any]) -> float:
    """Median time of one question, seen by the client, once warm."""
    question()
    times: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        question()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def measure(engine: Asked, rows: int) -> list[Figure]:
    """Ask everything."""
    end = (time.time_ns() // DAY + 1) * DAY
    window, day = Window(end - DAYS * DAY, end), Window(end - DAY, end)
    big = engine.filled("big", rows, end - 1, (0, 0))
    text = engine.filled("text", rows // 10, end - 1, (150, 40))
    at, with_text = _some_call(big, window), _some_call(text, window)
    every = calls.CallFilter()
    engine.settle()

    def cost_by_team_and_day() -> list[ledger.Cost]:
        return ledger.costs(big, PROJECT, window, ["team"], step_s=86400)

    def listed(client: Client, which: calls.CallFilter) -> Callable[[], Any]:
        return lambda: calls.calls(client, PROJECT, window, which)

    figures = [
        at_most("cost by team and day, 90 days, CPU", engine.cpu_ms(cost_by_team_and_day), 50, " ms", 0),
        at_most("trace by id, CPU", engine.cpu_ms(lambda: traces.trace(big, PROJECT, at[0])), 100, " ms", 0),
    ]
    others: list[tuple[str, Callable[[], Any]]] = [
        ("full record with text", lambda: traces.span(text, PROJECT, *with_text)),
        ("overview of a day", lambda: overview.totals(big, PROJECT, day)),
        ("overview of 90 days by day", lambda: overview.series(big, PROJECT, window, 86400)),
        ("spend by feature, 90 days, from spans", lambda: spend.spend(big, PROJECT, window, ["feature"])),
        ("newest 100 calls", listed(big, every)),
        (
            "newest 100 errors of a model",
            listed(big, calls.CallFilter(equal={"status": "error", "model": "gpt-4o"})),
        ),
        ("newest 100 of a user", listed(big, calls.CallFilter(equal={"user_id": "user-77"}))),
        ("newest 100 with two words", listed(text, calls.CallFilter(words="refund warranty"))),
        ("newest 100 with a text in the prompt", listed(text, calls.CallFilter(input_has="refund warranty"))),
        ("a word that is nowhere", listed(text, calls.CallFilter(words="zebra"))),
        ("users by cost of a day", lambda: people.people(big, PROJECT, day, "user_id", order="cost")),
    ]
    figures += [Figure(f"{name}, CPU", f"{engine.cpu_ms(ask):.0f} ms") for name, ask in others]
    figures += [Figure("cost by team and day, wall", f"{wall_ms(cost_by_team_and_day):.0f} ms")]
    return figures


def _some_call(client: Client, window: Window) -> tuple[str, str]:
    row = calls.calls(client, PROJECT, window, calls.CallFilter(), limit=1, offset=1000)[0]
    return row["trace"], row["span"]


def main() -> int:
    """Measure and report."""
    rows = int(os.environ.get("SPANLEDGER_BENCH_ROWS", "5000000"))
    with tempfile.TemporaryDirectory() as home:
        engine = start_engine(Path(home))
        try:
            return report([Figure("spans", f"{rows:,}"), *measure(Asked(engine), rows)])
        finally:
            engine.server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
