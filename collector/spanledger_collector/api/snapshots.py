"""The compiled snapshot, compiled again only when the registry grew: many gateways poll it."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import replace

from prometheus_client import Gauge

from spanledger.serving.snapshot import Snapshot
from spanledger_collector.store.registry import compile as compiler
from spanledger_collector.store.registry.registry import Registry

SKIPPED = Gauge("spanledger_snapshot_skipped_documents", "Stored documents that gateways cannot read.")

log = logging.getLogger(__name__)


class Snapshots:
    """The current snapshot; threads may share it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._revision = -1
        self._snapshot = Snapshot(version="")

    def current(self, project: str | None = None) -> Snapshot:
        """The snapshot of every project, or of one alone.

        Raises ``clickhouse_connect.driver.exceptions.Error`` when the engine is away.
        """
        revision = self._registry.revision()
        with self._lock:
            if revision != self._revision:
                rows = self._registry.list_all(compiler.KINDS)
                self._snapshot, skipped = compiler.compile_snapshot(rows)
                self._revision = revision
                SKIPPED.set(len(skipped))
                for entry in skipped:
                    log.error("left out of the snapshot: %s", entry)
            whole = self._snapshot
        return whole if project is None else _only(whole, project)


def _only(whole: Snapshot, project: str) -> Snapshot:
    part = Snapshot(
        version="",
        keys=tuple(key for key in whole.keys if key.project == project),
        projects={name: content for name, content in whole.projects.items() if name == project},
    )
    return replace(part, version=hashlib.sha256(part.to_json()).hexdigest()[:32])
