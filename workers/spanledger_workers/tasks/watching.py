"""The closed loop: routes whose primary got worse are moved, and moved back."""

from __future__ import annotations

from spanledger_workers.current import process
from spanledger_workers.loop.routes import Loop, watches
from spanledger_workers.ticks import Did, tick

from .telling import log_events


@tick("watch", 3)
def watch() -> Did:
    """Move routes whose primary's scores call for it."""
    rows = process.documents().routes
    watched = watches([(row.project, row.name, row.document) for row in rows], [row.time for row in rows])
    loop = Loop(
        store=process.store,
        redis=process.redis,
        canary=process.settings.canary_share,
        announce=process.announce,
    )
    told = loop.tick(watched, process.clock())
    log_events(told)
    return {"routes": len(watched), "events": len(told)}
