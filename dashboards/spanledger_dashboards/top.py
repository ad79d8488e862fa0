"""Sums by group and bucket in; a few named series and one for the rest out. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from spanledger_collector.store.reads.ledger import Cost
from spanledger_collector.store.reads.window import Window

from .colours import OTHERS

UNNAMED = "(none)"
"""How an empty value is shown; it stays empty in addresses."""


def top(rows: Sequence[Cost], window: Window, step_s: int, keep: int = 7) -> dict[str, list[float]]:
    """Cost in USD by name over every bucket of the window: the ``keep`` dearest names, then all others together."""
    cost: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        cost[row.group[0]] += row.cost
    dearest = sorted(cost, key=lambda name: (-cost[name], name))
    kept = set(dearest if len(dearest) <= keep + 1 else dearest[:keep])
    buckets = {bucket: place for place, bucket in enumerate(window.buckets(step_s))}
    found: dict[str, list[float]] = {name: [0.0] * len(buckets) for name in dearest if name in kept}
    if len(kept) < len(dearest):
        found[OTHERS] = [0.0] * len(buckets)
    for row in rows:
        if row.bucket in buckets:
            found[row.group[0] if row.group[0] in kept else OTHERS][buckets[row.bucket]] += float(row.cost)
    return found
