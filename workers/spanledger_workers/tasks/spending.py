"""Budgets, and what engines cost."""

from __future__ import annotations

from spanledger_workers.budgets import Budgets
from spanledger_workers.current import process
from spanledger_workers.metering import engines
from spanledger_workers.metering import meter as scrape
from spanledger_workers.ticks import Did, tick

from .telling import log_events


@tick("budgets", 3)
def budgets() -> Did:
    """Raise budget counters to the store's spend and tell the steps that were reached."""
    rows = [(row.project, row.name, row.document) for row in process.documents().budgets]
    told = Budgets(store=process.store, redis=process.redis).tick(rows, process.clock())
    log_events(told)
    return {"budgets": len(rows), "events": len(told)}


@tick("meter", 10, longest_s=120)
def meter() -> Did:
    """Store what the engines say of themselves."""
    documents = process.documents()
    wanted = engines(
        [(row.project, row.name, row.document) for row in documents.upstreams],
        [(row.project, row.name, row.document) for row in documents.pools],
    )
    return {
        "engines": len(wanted),
        "samples": scrape(process.store, wanted, process.clock()) if wanted else 0,
    }
