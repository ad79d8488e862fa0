"""The process's key in; its project's budgets and prices, as the collector compiled them, out.

The first call that needs them waits for the collector, a few seconds at most. A thread then asks every two seconds
whether they changed; while the collector is away the last ones hold, also those that an earlier process kept on disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger import collector_client
from spanledger.collector_client import CollectorAwayError
from spanledger.prices import PriceTable
from spanledger.serving.budgets import BudgetBook
from spanledger.serving.decoding import encode
from spanledger.serving.snapshot import ProjectSnapshot, Route, Snapshot, SnapshotError, Upstream
from spanledger.settings import Settings

logger = logging.getLogger("spanledger")
_EVERY_S: Final = 2.0
_PATH: Final = "/api/registry/snapshot"
NO_SCOPE: Final = (
    "budgets cannot be read: the collector at {endpoint} refused SPANLEDGER_KEY ({status}). A wrapped client that "
    "enforces budgets needs a key with the scope 'gateway' beside 'ingest': add it to the key's document, or give "
    "budgets=False to spanledger.wrap() to call without budgets"
)


@dataclass(slots=True, frozen=True)
class Registered:
    """What one project's calls are checked against and priced with."""

    version: str
    project: str
    team: str
    key_id: str
    book: BudgetBook | None
    prices: PriceTable
    routes: dict[str, Route]
    upstreams: dict[str, Upstream]


def compiled(snapshot: Snapshot, settings: Settings) -> Registered:
    """The part of a snapshot that concerns the key's project; without a key, the settings' project."""
    digest = hashlib.sha256(settings.key.encode()).hexdigest()
    key = next((each for each in snapshot.keys if each.hash == digest), None)
    name = settings.project
    if key is not None and key.project in snapshot.projects:
        name = key.project
    project = snapshot.projects.get(name) or ProjectSnapshot()
    return Registered(
        snapshot.version,
        name,
        (key.team if key else "") or settings.team,
        key.id if key else "",
        BudgetBook(project.budgets, name) if project.budgets else None,
        PriceTable([encode(price) for price in project.prices]),
        project.routes,
        project.upstreams,
    )


class Feed:
    """Keeps one process's budgets and prices current."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._refused = 0  # the status with which the collector refused the key
        self._found: Registered | None = None
        self._is_fresh = False  # this process heard it from the collector

    def get(self) -> Registered | None:
        """What is registered; None when the collector was never reached.

        Raises:
            PermissionError: the key lacks the scope ``gateway``; the message says what to do.
        """
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._ask()
                    self._thread = threading.Thread(
                        target=self._follow, name="spanledger-registry", daemon=True
                    )
                    self._thread.start()
        if self._found is None and self._refused:
            raise PermissionError(NO_SCOPE.format(endpoint=self._settings.endpoint, status=self._refused))
        return self._found

    def _follow(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            self._ask()

    def _ask(self) -> None:
        version = self._found.version if self._found else ""
        try:
            status, body = collector_client.request(
                self._settings, "GET", _PATH, headers={"if-none-match": f'"{version}"'}
            )
            if status == 200:
                self._found = compiled(Snapshot.from_json(body), self._settings)
                self._keep(body)
            elif status in (401, 403):
                self._refused = status
                if self._found is None or not self._is_fresh:
                    self._found = None  # what was kept is not for this key any more
            elif status >= 500 and self._found is None:
                self._read_kept()
            if status in (200, 304):
                self._refused = 0
                self._is_fresh = True
        except (CollectorAwayError, SnapshotError) as wrong:
            logger.debug("no budgets from the collector: %s", wrong)
            if self._found is None:
                self._read_kept()

    @property
    def _path(self) -> Path:
        who = "\0".join((self._settings.endpoint, self._settings.key))
        return self._settings.registry_dir / f"{hashlib.sha256(who.encode()).hexdigest()[:16]}.json"

    def _keep(self, body: bytes) -> None:
        """For a start while the collector is away. In one step, and readable by its owner only."""
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(body)
            temporary.replace(self._path)
        except OSError as error:
            logger.debug("the registry's snapshot is not kept: %s", error)

    def _read_kept(self) -> None:
        try:
            self._found = compiled(Snapshot.from_json(self._path.read_bytes()), self._settings)
        except (OSError, SnapshotError):
            return
        age_s = max(time.time() - self._path.stat().st_mtime, 0)
        logger.warning(
            "%s does not answer: budgets and prices are those it told %.0f minutes ago.",
            self._settings.endpoint,
            age_s / 60,
        )


_feeds: dict[tuple[str, str, str, str], Feed] = {}
_lock = threading.Lock()


def feed_of(settings: Settings) -> Feed:
    """The feed for these settings; one a process."""
    key = (settings.endpoint, settings.key, settings.project, settings.team)
    with _lock:
        found = _feeds.get(key)
        if found is None:
            found = _feeds[key] = Feed(settings)
    return found


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _feeds.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
