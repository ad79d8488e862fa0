"""The collector's registry snapshot in, what requests are served from out; the last one is kept on disk."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

from spanledger.prices import PriceTable
from spanledger.serving.budgets import BudgetBook
from spanledger.serving.decoding import encode
from spanledger.serving.snapshot import EMPTY, ProjectSnapshot, Snapshot, SnapshotError, SnapshotKey

from . import metrics
from .following import follow
from .settings import GatewaySettings
from .upstreams import Upstreams

logger = logging.getLogger("spanledger.gateway")

_NO_PROJECT = ProjectSnapshot()
_MOST_PRESENTED = 10_000
_LIMIT_S = 5.0
_LARGEST = 256 << 20


class Registry:
    """One snapshot, looked up by key and project. Replaced as a whole, so a request sees one version."""

    def __init__(self, snapshot: Snapshot = EMPTY) -> None:
        self.snapshot = snapshot
        self._keys = {key.hash: key for key in snapshot.keys}
        self._presented: dict[str, SnapshotKey] = {}  # keys that were right, so that they need no hash again
        self._budgets = {
            name: BudgetBook(p.budgets, name) for name, p in snapshot.projects.items() if p.budgets
        }
        self._prices = {name: _prices(project) for name, project in snapshot.projects.items()}

    def key(self, presented: str) -> SnapshotKey | None:
        """The key that was presented, or None when it is unknown or may not use the gateway."""
        found = self._presented.get(presented)
        if found is None:
            found = self._keys.get(hashlib.sha256(presented.encode()).hexdigest())
            if found is not None and len(self._presented) < _MOST_PRESENTED:
                self._presented[presented] = found
        return found

    def project(self, name: str) -> ProjectSnapshot:
        """What the project may use; nothing when it is unknown."""
        return self.snapshot.projects.get(name, _NO_PROJECT)

    def prices(self, project: str) -> PriceTable:
        """The project's own prices before the public ones."""
        return self._prices.get(project) or _PUBLIC

    def budgets(self, project: str) -> BudgetBook | None:
        """The project's budgets; None when it has none."""
        return self._budgets.get(project)

    def routes(self) -> list[tuple[str, str]]:
        """(project, route) of every route there is."""
        return [(name, route) for name, project in self.snapshot.projects.items() for route in project.routes]


_PUBLIC = PriceTable()


def _prices(project: ProjectSnapshot) -> PriceTable:
    return PriceTable([encode(price) for price in project.prices])


class RegistryFeed:
    """Keeps a registry current: from disk at once, from the collector when it answers."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.registry = Registry()
        self.source = "none"
        """Where the snapshot came from: ``none``, ``disk`` or ``collector``."""
        self._settings = settings
        self._url = settings.endpoint.rstrip("/") + "/api/registry/snapshot"
        self._path = settings.folder / "snapshot.json"
        self._wake = asyncio.Event()

    def read_disk(self) -> None:
        """Serve from the last snapshot that was stored, if there is one."""
        try:
            self.registry = Registry(Snapshot.from_json(self._path.read_bytes()))
            self.source = "disk"
        except FileNotFoundError:
            return
        except (OSError, ValueError) as wrong:
            metrics.SNAPSHOT_ERRORS.inc()
            logger.warning("The stored snapshot %s cannot be used: %s", self._path, wrong)

    def wake(self) -> None:
        """Look at the collector now."""
        self._wake.set()

    async def run(self, upstreams: Upstreams) -> None:
        """Follow the collector until cancelled."""
        await follow(lambda: self.refresh(upstreams), self._wake, self._settings.gateway_poll_s)

    async def refresh(self, upstreams: Upstreams) -> None:
        """Ask the collector once; on any trouble the current snapshot stays."""
        try:
            body = await self._fetch(upstreams)
            if body is not None:
                self._take(body)
        except (OSError, TimeoutError, SnapshotError, ValueError) as wrong:
            metrics.SNAPSHOT_ERRORS.inc()
            logger.debug("no snapshot from %s: %s", self._url, wrong)

    async def _fetch(self, upstreams: Upstreams) -> bytes | None:
        headers = {
            "authorization": f"Bearer {self._settings.key}",
            "if-none-match": f'"{self.registry.snapshot.version}"',
        }
        # The operator chose the collector's address, so it may be private.
        status, body = await upstreams.page(
            self._url, allow_private=True, limit_s=_LIMIT_S, largest=_LARGEST, headers=headers
        )
        if status == 304:
            self.source = "collector"
            return None
        if status != 200:
            raise SnapshotError(f"the collector answered {status}")
        return body

    def _take(self, body: bytes) -> None:
        snapshot = Snapshot.from_json(body)
        if snapshot.version != self.registry.snapshot.version or self.source == "none":
            self.registry = Registry(snapshot)
            _store(self._path, body)
            logger.info("serving snapshot %s: %d keys", snapshot.version[:12], len(snapshot.keys))
        self.source = "collector"


def _store(path: Path, body: bytes) -> None:
    """Replace the file in one step; readable by its owner only, since it holds key hashes and prices."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        temporary.replace(path)
    except OSError as wrong:
        metrics.SNAPSHOT_ERRORS.inc()
        logger.warning("The snapshot could not be stored in %s: %s", path, wrong)
