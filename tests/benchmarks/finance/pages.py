"""How long finance pages wait for their figures: a month of five million calls, asked as the pages ask."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from spanledger_collector.books import closing, outlook
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect, connect_reader
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.ledger import Ask
from spanledger_collector.store.reads.usage import OurSide
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.report import Figure, at_most
from tests.servers import start_engine

from .ledger_month import DAYS, FIRST, PROJECT, generate

REPEATS = 20
TARGET_MS = 500


def figures(rows: int) -> list[Figure]:
    """Fill a store and ask."""
    start = int(FIRST.timestamp()) * 10**9
    month = Window(start, start + DAYS * DAY)
    odd = Window(start + HOUR, start + (DAYS - 1) * DAY)
    with tempfile.TemporaryDirectory() as home:
        engine = start_engine(Path(home))
        try:
            settings = StoreSettings(clickhouse_url=f"{engine.url}/bench")
            migrate(settings)
            generate(connect(settings, send_receive_timeout=3600), rows)
            client = connect_reader(settings)

            def sums(window: Window, by: list[str], **more: Any) -> Callable[[], Any]:
                return lambda: ledger.sums(client, PROJECT, window, by, **more)

            asked = {
                "team by day": sums(month, ["team"], step_s=86400),
                "team and model": sums(month, ["team", "model"]),
                "customer": sums(month, ["customer_id"]),
                "one team's features by day": sums(
                    month, ["feature"], step_s=86400, which=Ask(only={"team": "team-3"})
                ),
                "user": sums(month, ["user_id"]),
                "a tag's value": sums(month, ["tag:cc"]),
                "calls with a tag, by model": sums(month, ["model"], which=Ask(tag=["beta"])),
                "team, days cut": sums(odd, ["team"]),
                # The longest that a page shows in steps of less than a day.
                "team by 12 hours of 22 days": sums(
                    weeks := Window(start, start + 22 * DAY), ["team"], step_s=weeks.step_s(points=45)
                ),
                "all": sums(month, []),
                **others(client),
            }
            counted = client.query("SELECT count() FROM ledger_day").result_rows[0][0]
            made = [
                Figure("calls of the month", f"{rows:,}"),
                Figure("rows of the daily sums", f"{counted:,}"),
            ]
            return made + [
                at_most(f"{name}, p95", p95_ms(ask), TARGET_MS, " ms", 0) for name, ask in asked.items()
            ]
        finally:
            engine.server.stop()


def others(client: Client) -> dict[str, Callable[[], Any]]:
    """What the pages Statements, Reconciliation and Spend ask besides."""
    first = FIRST.date()
    last = first + timedelta(days=DAYS - 1)
    return {
        "statement of all teams": lambda: closing.statement(client, PROJECT, first),
        "statement of a team": lambda: closing.statement(client, PROJECT, first, "team-3"),
        "our side of a reconciliation": lambda: OurSide(client, PROJECT, ["openai"], first, last).days(UTC),
        "our side by half hours": lambda: OurSide(client, PROJECT, ["openai"], first, last).hours(),
        "the month's end": lambda: outlook.month_ahead(client, PROJECT, FIRST + timedelta(days=20)),
        "odd days": lambda: outlook.odd_days(client, PROJECT, last),
    }


def p95_ms(question: Callable[[], Any]) -> float:
    """The 95th of a hundred times, once warm."""
    question()
    times: list[float] = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        question()
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)[round(0.95 * REPEATS) - 1]
