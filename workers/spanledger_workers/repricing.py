"""Price documents that speak of the past in; the past priced anew, a stretch of days each tick, and events of it, out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from spanledger.prices import PriceTable
from spanledger.records import Event
from spanledger_collector.finance.pool_costs import nanoseconds
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance.disagreements import Disagreement, disagreements
from spanledger_collector.store.finance.reprice_job import Wanted, reprice
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.plan import Version

from .audit import event, tell_once
from .clock import DAY
from .memory import Memory

FURTHEST = 92 * DAY
"""How far back a document reprices by itself; ``spanledger price reprice`` goes as far as it is told."""
_BUDGET_S = 90.0


@dataclass(slots=True)
class Repricer:
    """Prices calls anew after a document changed. Where it is stands in Redis; losing that repeats harmless work."""

    store: Client
    redis: Memory
    tables: Callable[[str], PriceTable]
    projects: Callable[[], Sequence[str]]
    did: dict[str, int] = field(default_factory=lambda: {"documents": 0, "calls": 0, "changed": 0})

    def tick(self, prices: Sequence[Version], now: int) -> list[Event]:
        """Work for about a minute and a half; returns what was told."""
        deadline = time.monotonic() + _BUDGET_S
        told: list[Event] = []
        for row in prices:
            for project in [row.project] if row.project != "*" else self.projects():
                if time.monotonic() > deadline:
                    return told
                told += self._document(row, project, now, deadline)
        return told

    def _document(self, row: Version, project: str, now: int, deadline: float) -> list[Event]:
        key = f"spanledger:repriced:{project}:{row.project}:{row.name}"
        version, _, at = str(self.redis.get(key) or "").partition(":")
        if version == str(row.version) and at == "done":
            return []
        begin, end = span_of(row, now)
        run = f"{row.project}/{row.name}@{row.version}"
        start = int(at) if version == str(row.version) and at.isdigit() else begin
        difference, changed = Decimal(0), 0
        for low, high in _stretches(start, end):
            wanted = Wanted(
                run=run, project=project, window=Window(low, high), provider="", author=row.author or "worker",
                note=f"price {row.name} version {row.version}: {row.note}".rstrip(": "),
            )  # fmt: skip
            outcome = reprice(self.store, wanted, self.tables(project), lambda: time.time_ns() // 10**6)
            self.did["calls"] += outcome.calls
            self.did["changed"] += outcome.changed
            difference, changed = difference + outcome.difference, changed + outcome.changed
            start = high
            self.redis.set(key, f"{row.version}:{start}")
            if time.monotonic() > deadline:
                break
        if start >= end:
            self.redis.set(key, f"{row.version}:done")
            self.did["documents"] += 1
        return self._tell(row, project, changed, difference, now) if changed else []

    def _tell(self, row: Version, project: str, changed: int, difference: Decimal, now: int) -> list[Event]:
        return tell_once(
            self.store,
            project,
            [
                event(
                    "config_change",
                    project=project,
                    subject=f"price/{row.name}",
                    time=now,
                    title=f"{changed} past calls were priced anew by {row.name} version {row.version}",
                    message=f"Their cost changed by {difference:+f} USD. The old figures are kept.",
                    evidence={
                        "document": row.name,
                        "version": row.version,
                        "calls": changed,
                        "difference": difference,
                    },
                )
            ],
        )


def span_of(row: Version, now: int) -> tuple[int, int]:
    """From when to when (ns) a document may change what was stored before it stood there; empty: nothing."""
    since, until = row.document.get("from"), row.document.get("until")
    begin = nanoseconds(datetime.fromisoformat(since)) if since else 0
    end = min(nanoseconds(datetime.fromisoformat(until)) if until else now, row.time + DAY, now)
    return max(begin, row.time - FURTHEST), end


def _stretches(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        high = min((start // DAY + 1) * DAY, end)
        yield start, high
        start = high


def tell_disagreements(
    store: Client, project: str, window: Window, table: PriceTable, now: int
) -> tuple[list[Disagreement], list[Event]]:
    """Look where prices disagree, and write an event for each model the first time in a month."""
    found = disagreements(store, project, window, table)
    events = [
        event(
            "alert",
            project=project,
            subject=f"{one.provider}/{one.model}",
            time=now,
            title=f"Our price of {one.model} and {one.source} disagree",
            message=f"Ours: {one.ours} USD, {one.source}: {one.theirs} USD, for {one.what}. Check the price document or the list.",
            severity="warning",
            state="firing",
            dedup_key=f"price:{one.provider}:{one.model}:{one.source}",
            evidence={"ours": one.ours, "theirs": one.theirs, "source": one.source, "calls": one.calls},
            identity=("price disagreement", one.provider, one.model, one.source, now // (30 * DAY)),
        )
        for one in found
    ]
    return found, tell_once(store, project, events)
