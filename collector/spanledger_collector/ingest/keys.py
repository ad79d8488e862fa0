"""An ingest key as sent in, the tenant it belongs to out.

The tenant always comes from here and never from a payload. The registry holds the real directory;
``OneKey`` serves a collector that has only ``SPANLEDGER_BOOTSTRAP_KEY``.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose telemetry a key may send. ``scopes`` are ``ingest``, ``read``, ``gateway``, ``admin``."""

    key_id: str
    project: str
    team: str = ""
    scopes: frozenset[str] = frozenset()


class KeyDirectory(Protocol):
    """Looks keys up in memory; the caller is an event loop and must not wait."""

    def find(self, key: str) -> Tenant | None:
        """The tenant of a key as sent (``sl_<id>_<secret>``); None when unknown or revoked."""
        ...


class OneKey:
    """A directory of one key with every scope, for project ``default``."""

    def __init__(self, key: str, project: str = "default") -> None:
        self._hash = hashlib.sha256(key.encode()).digest() if key else b""
        self._tenant = Tenant("bootstrap", project, "", frozenset({"ingest", "read", "gateway", "admin"}))

    def find(self, key: str) -> Tenant | None:
        """The tenant, when it is this key."""
        return (
            self._tenant if hmac.compare_digest(hashlib.sha256(key.encode()).digest(), self._hash) else None
        )
