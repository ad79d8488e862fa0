"""Month close: a new state of a month in, as a row of ``months``; the newest row of a month holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from spanledger_collector.store.clickhouse import Client

SETTLE_DAYS = 2
"""A month can be closed so many days after its end: the last GPU intervals are metered and late spans in by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Somebody signs a month: what was known before ``cutoff`` (UTC) is its figures; ``totals`` are those, as JSON."""

    project: str
    month: date
    cutoff: date
    author: str
    note: str
    totals: str
    time: datetime
    state: Literal["closed", "open"] = "closed"


def earliest_cutoff(month: date) -> date:
    """The first day on which a month may be closed."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1) + timedelta(days=SETTLE_DAYS)


def write_closing(client: Client, closing: Closing) -> None:
    """Write the state. The same closing again (a lost answer) changes nothing."""
    row = {
        "project": closing.project,
        "month": closing.month,
        "state": closing.state,
        "cutoff": closing.cutoff,
        "author": closing.author,
        "time": closing.time.astimezone(UTC),
        "note": closing.note,
        "totals": closing.totals,
    }
    token = hashlib.blake2b(repr(list(row.values())).encode(), digest_size=16).hexdigest()
    settings = {"insert_deduplication_token": f"months-{token}"}
    client.insert("months", [list(row.values())], column_names=list(row), settings=settings)
