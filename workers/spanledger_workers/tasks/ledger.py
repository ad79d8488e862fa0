"""The ledger: pools are metered."""

from __future__ import annotations

from spanledger_collector.store.registry.price_tables import price_tables, table_of
from spanledger_collector.store.registry.registry import Registry
from spanledger_workers.current import process
from spanledger_workers.pools import Pool, Pools
from spanledger_workers.ticks import Did, tick


@tick("pools", 30, longest_s=240)
def pools() -> Did:
    """Split what pools cost over the calls that ran on them."""
    named = process.documents().pools
    if not named:
        return {}
    registry = Registry(process.store)
    tables = price_tables(registry.list_all(["price"]))
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
    meter = Pools(store=process.store, redis=process.redis, prices=lambda project: table_of(tables, project))
    return meter.tick(wanted, process.clock())
