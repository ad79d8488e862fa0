"""Bookings that are no calls: rows of ``adjustments`` in and out. A booking is never changed; a wrong one is booked back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import Row, ask, statement

Kind = Literal["reprice", "reconciliation", "manual", "gpu_restatement", "late_calls"]

GROUP = (
    "team",
    "feature",
    "customer_id",
    "key_id",
    "route",
    "model",
    "provider",
    "upstream",
    "gpu_pool",
    "purpose",
)
"""Whose a booking is: the names that ``Adjustment.group`` may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """One booking: ``cost`` in USD is added to ``day`` of the ledger. ``identity`` makes a booking made twice one."""

    project: str
    day: date
    kind: Kind
    cost: Decimal
    reason: str
    author: str
    identity: str
    category: str = "adjustment"
    organisation: str = ""
    amount: Decimal | None = None
    """In ``currency``; ``cost`` where it is USD."""
    currency: str = "USD"
    evidence: str = ""
    group: dict[str, str] = field(default_factory=dict[str, str])
    """Whose it is: any of team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose."""
    known_at: datetime | None = None

    @property
    def adjustment_id(self) -> str:
        """From what it is about, so that accepting the same finding twice books it once."""
        parts = (self.project, self.kind, self.day.isoformat(), self.identity)
        return hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).hexdigest()


_STORED = """
SELECT adjustment_id, month, toDate(time, 'UTC') AS day, known_at, kind, category, team, feature, model, provider, gpu_pool,
    cost, amount, currency, reason, author, evidence
FROM adjustments WHERE project = {project:String}
"""


def stored(client: Client, project: str, first: date, after: date) -> list[Row]:
    """Bookings of days from ``first`` until before ``after``, newest first; at most 1,000."""
    sql = statement(
        _STORED,
        "AND month >= toStartOfMonth({first:Date}) AND day >= {first:Date} AND day < {after:Date}",
        "ORDER BY known_at DESC, adjustment_id LIMIT 1000",
    )
    return ask(client, sql, {"project": project, "first": first, "after": after})


def book(client: Client, entries: Sequence[Adjustment]) -> list[str]:
    """Write bookings that are not there yet; their ids."""
    if not entries:
        return []
    known = "SELECT adjustment_id FROM adjustments WHERE project = {project:String} AND adjustment_id IN {ids:Array(String)}"
    ids = [entry.adjustment_id for entry in entries]
    there = {row["adjustment_id"] for row in ask(client, known, {"project": entries[0].project, "ids": ids})}
    fresh = {entry.adjustment_id: entry for entry in entries if entry.adjustment_id not in there}
    if fresh:
        rows = [_row(entry) for entry in fresh.values()]
        token = hashlib.blake2b("".join(sorted(fresh)).encode(), digest_size=16).hexdigest()
        client.insert(
            "adjustments",
            [list(row.values()) for row in rows],
            column_names=list(rows[0]),
            settings={"insert_deduplication_token": f"adjustments-{token}"},
        )
    return list(fresh)


def _row(entry: Adjustment) -> dict[str, object]:
    at = datetime(entry.day.year, entry.day.month, entry.day.day, tzinfo=UTC)
    return {
        "adjustment_id": entry.adjustment_id,
        "project": entry.project,
        "month": entry.day.replace(day=1),
        "time": at,
        "known_at": entry.known_at or datetime.now(UTC),
        "kind": entry.kind,
        "category": entry.category,
        "organisation": entry.organisation,
        **{name: entry.group.get(name, "") for name in GROUP},
        "amount": entry.cost if entry.amount is None else entry.amount,
        "currency": entry.currency,
        "cost": entry.cost,
        "reason": entry.reason,
        "author": entry.author,
        "evidence": entry.evidence,
    }
