"""Keys in; who holds them out: a directory of key hashes that follows the registry within two seconds.

Only sha256 of a key is stored or compared. A directory that has once been filled keeps answering
when the engine is away, and a copy on disk lets a restarted process do so too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clickhouse_connect.driver.exceptions import Error as EngineError

from .documents import SHARED
from .plan import Draft, Version
from .registry import Registry

BOOTSTRAP = "bootstrap"
"""Name of the key document made from ``SPANLEDGER_BOOTSTRAP_KEY``; it stands in project ``*``."""

ALL_SCOPES = ("admin", "gateway", "ingest", "read")
REFRESH_S = 1.0
"""How often the registry is asked; a revoked key is refused within twice that."""

log = logging.getLogger(__name__)


class KeysUnavailableError(Exception):
    """No key was ever read and the engine is away: try again later (503, never 401)."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Key:
    """Who is asking. ``operator``: may use its scopes in any project, for the key stands in project ``*``."""

    id: str
    project: str
    team: str = ""
    scopes: tuple[str, ...] = ()
    operator: bool = False

    def may(self, scope: str) -> bool:
        """Whether the key carries the scope; ``admin`` carries ``read`` and ``edit``.

        ``edit``, changing documents but keys and members, is what a person who is an editor may do.
        """
        return scope in self.scopes or (scope in ("read", "edit") and "admin" in self.scopes)


@dataclass(slots=True, frozen=True, kw_only=True)
class NewKey:
    """A key just made: ``secret`` is shown once and never stored."""

    id: str
    secret: str
    hash: str


def hash_key(secret: str) -> str:
    """sha256 of the whole key, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_key(random: Callable[[int], str] = secrets.token_hex) -> NewKey:
    """A key ``sl_<id>_<secret>`` with 256 random bits."""
    name = random(6)
    secret = f"sl_{name}_{random(32)}"
    return NewKey(id=name, secret=secret, hash=hash_key(secret))


def directory_of(documents: Iterable[Version]) -> dict[str, Key]:
    """Usable keys by hash. Should two documents hold one hash, the older stands."""
    found: dict[str, Key] = {}
    for row in sorted(documents, key=lambda row: row.time, reverse=True):
        if row.deleted or row.document.get("revoked"):
            continue
        scopes = tuple(row.document["scopes"])
        found[row.document["hash"]] = Key(
            id=row.name,
            project=row.document["project"],
            team=row.document.get("team", ""),
            scopes=scopes,
            operator=row.project == SHARED,
        )
    return found


ROLES: dict[str, tuple[str, ...]] = {
    "viewer": ("read",),
    "editor": ("edit", "read"),
    "admin": ("admin", "read"),
}
"""What each role of a member may do."""


def keys_of(members: Iterable[Version], email: str, groups: Iterable[str] = ()) -> list[Key]:
    """The roles of one person as keys, one a project and role, strongest last. ``email`` must be verified."""
    names = {email.lower(), *(f"group:{group}" for group in groups)}
    mine = [row for row in members if row.name in names and not row.deleted]
    ordered = sorted(mine, key=lambda row: (row.project, list(ROLES).index(row.document["role"])))
    return [
        Key(
            id=f"person:{email.lower()}",
            project="default" if row.project == SHARED else row.project,
            scopes=ROLES[row.document["role"]],
            operator=row.project == SHARED,
        )
        for row in ordered
    ]


class KeyDirectory:
    """Looks keys up in memory; a thread refreshes it. Safe to call from an event loop.

    ``start`` fills it before it returns when the engine answers; ``stop`` ends the thread.
    """

    def __init__(
        self,
        registry: Registry,
        bootstrap_key: str = "",
        copy: Path | None = None,
        refresh_s: float = REFRESH_S,
    ) -> None:
        """``copy`` is a file that keeps the last directory for a start without the engine."""
        self._registry, self._bootstrap_key, self._copy = registry, bootstrap_key, copy
        self._refresh_s = refresh_s
        self._keys = self._read_copy()
        self._members: list[Version] | None = None
        self._revision = -1
        self._bootstrapped = not bootstrap_key
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fill the directory and keep it fresh."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="spanledger-keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=10)

    def lookup(self, secret: str) -> Key | None:
        """Who holds the key; None for an unknown or revoked one.

        Raises:
            KeysUnavailableError: nothing has been read yet.
        """
        return self.holder(hash_key(secret))

    def holder(self, digest: str) -> Key | None:
        """As ``lookup``, for who kept the key's hash alone, such as a session."""
        if self._keys is None:
            raise KeysUnavailableError("the keys cannot be read: the engine is away")
        return self._keys.get(digest)

    def person(self, email: str, groups: Iterable[str] = ()) -> list[Key]:
        """What a signed-in person may do: a key for each project they are a member of.

        Raises:
            KeysUnavailableError: the members have not been read yet; there is no copy of them on disk.
        """
        if self._members is None:
            raise KeysUnavailableError("the members cannot be read: the engine is away")
        return keys_of(self._members, email, groups)

    def refresh(self) -> bool:
        """Read the keys if anything changed; False when the engine is away."""
        try:
            self._ensure_bootstrap()
            revision = self._registry.revision()
            if revision != self._revision:
                documents = self._registry.list_all(["key", "member"])
                self._members = [row for row in documents if row.kind == "member"]
                self._keys = directory_of(row for row in documents if row.kind == "key")
                self._revision = revision
                self._write_copy(self._keys)
        except EngineError as away:
            log.warning("keys not refreshed: %s", away)
            return False
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._refresh_s):
            self.refresh()

    def _ensure_bootstrap(self) -> None:
        if self._bootstrapped:
            return
        document = {
            "hash": hash_key(self._bootstrap_key),
            "project": "default",
            "scopes": list(ALL_SCOPES),
        }
        draft = Draft(kind="key", name=BOOTSTRAP, document=document)
        self._registry.put(SHARED, draft, author=BOOTSTRAP, note="from SPANLEDGER_BOOTSTRAP_KEY")
        self._bootstrapped = True

    def _read_copy(self) -> dict[str, Key] | None:
        if self._copy is None or not self._copy.exists():
            return None
        try:
            stored = json.loads(self._copy.read_text())
            keys = {digest: Key(**entry) for digest, entry in stored.items()}
        except (OSError, ValueError, TypeError) as wrong:
            log.warning("the copy of the keys cannot be read and is ignored: %s", wrong)
            return None
        return {digest: replace(key, scopes=tuple(key.scopes)) for digest, key in keys.items()}

    def _write_copy(self, keys: dict[str, Key]) -> None:
        if self._copy is None:
            return
        text = json.dumps({digest: asdict(key) for digest, key in keys.items()})
        part = self._copy.with_suffix(f".{os.getpid()}.part")
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            part.touch(mode=0o600)
            part.write_text(text)
            part.replace(self._copy)
        except OSError as wrong:
            log.warning("the copy of the keys cannot be written: %s", wrong)
