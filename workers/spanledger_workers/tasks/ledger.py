"""The ledger: pools are metered, the past is priced anew where a price document says so, and prices are compared."""

from __future__ import annotations

from collections.abc import Callable

from spanledger.prices import PriceTable
from spanledger_collector.store.reads.names import projects
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.price_tables import price_tables, table_of
from spanledger_collector.store.registry.registry import Registry
from spanledger_workers.clock import DAY
from spanledger_workers.current import process
from spanledger_workers.pools import Pool, Pools
from spanledger_workers.repricing import Repricer, tell_disagreements
from spanledger_workers.ticks import Did, tick

from .telling import log_events


@tick("pools", 30, longest_s=240)
def pools() -> Did:
    """Split what pools cost over the calls that ran on them."""
    named = process.documents().pools
    if not named:
        return {}
    registry = Registry(process.store)
    wanted = [
        Pool(
            owner=row.project,
            name=row.name,
            version=row.version,
            document=row.document,
            begin=min(entry.time for entry in registry.history(row.project, "gpu_pool", row.name)),
        )
        for row in named
    ]
    meter = Pools(store=process.store, redis=process.redis, prices=_tables())
    return meter.tick(wanted, process.clock())


@tick("reprice", 20, longest_s=240)
def reprice() -> Did:
    """Price past calls anew after a price document changed what they cost."""
    rows = Registry(process.store).list_all(["price"])
    repricer = Repricer(
        store=process.store, redis=process.redis, tables=_tables(), projects=lambda: projects(process.store)
    )
    log_events(repricer.tick(rows, process.clock()))
    return repricer.did


@tick("price_disagreements", 86_400, at_s=4 * 3600, longest_s=240)
def price_disagreements() -> Did:
    """Say where our prices and a second source's differ, on the tokens of the last week."""
    now, tables = process.clock(), _tables()
    found = events = 0
    for project in projects(process.store):
        window = Window(now - 7 * DAY, now)
        disagree, told = tell_disagreements(process.store, project, window, tables(project), now)
        found, events = found + len(disagree), events + len(told)
    return {"disagreements": found, "events": events}


def _tables() -> Callable[[str], PriceTable]:
    tables = price_tables(Registry(process.store).list_all(["price"]))
    return lambda project: table_of(tables, project)
