"""One OTLP request with its key in; stored and acknowledged, or refused, out. HTTP and gRPC both end here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from spanledger_collector.store.registry.keys import Key, KeysUnavailableError

from . import errors, wire
from .metrics import Metrics
from .spool import Record, Spool, SpoolFullError
from .wire import Checked, Signal

_IN_THREAD_BYTES = 512 * 1024
"""A body this large is read in a thread, so that other requests need not wait for it."""
_IN_FLIGHT_BYTES = 256 * 1024 * 1024
_RETRY_AFTER_S = 5


class Keys(Protocol):
    """Looks keys up in memory; the caller is an event loop and must not wait."""

    def lookup(self, secret: str) -> Key | None:
        """Who holds the key; None for an unknown or revoked one. May raise KeysUnavailableError."""
        ...


class Receiver:
    """Authenticates, limits, checks and spools requests; answers once they are on disk."""

    def __init__(
        self,
        keys: Keys,
        spool: Spool,
        metrics: Metrics,
        max_bytes: int,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``max_bytes`` limits a request before and after inflation."""
        self._keys, self._spool, self._metrics = keys, spool, metrics
        self.max_bytes, self._clock = max_bytes, clock
        self._in_flight = 0

    def authenticate(self, authorization: str) -> Key:
        """The holder of ``Bearer KEY``.

        Raises:
            Refused: 401, 403, or 503 while no key can be known.
        """
        scheme, _, secret = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise errors.unauthenticated("send a key: Authorization: Bearer sl_<id>_<secret>")
        try:
            key = self._keys.lookup(secret.strip())
        except KeysUnavailableError as away:
            raise errors.overloaded("keys_unavailable", str(away), _RETRY_AFTER_S) from None
        if key is None:
            raise errors.unauthenticated("the key is unknown or revoked")
        if not key.may("ingest"):
            raise errors.forbidden(f"key {key.id!r} lacks scope 'ingest'")
        return key

    async def accept(self, key: Key, signal: Signal, kind: str, encoding: str, body: bytes) -> Checked:
        """Check and store one request; returns when it is on disk.

        Raises:
            Refused: nothing was stored.
        """
        begun = time.perf_counter()
        if self._in_flight + len(body) > _IN_FLIGHT_BYTES:
            raise errors.overloaded("in_flight", "too many bytes are being read at once", 1)
        self._in_flight += len(body)
        try:
            checked = await self._store(key, signal, kind, encoding, body)
        finally:
            self._in_flight -= len(body)
        self._metrics.ack_seconds.observe(time.perf_counter() - begun)
        self._metrics.received.labels(signal).inc(checked.accepted + checked.rejected)
        self._metrics.accepted.labels(signal).inc(checked.accepted)
        if checked.rejected:
            self._metrics.rejected.labels("invalid_ids").inc(checked.rejected)
        return checked

    async def _store(self, key: Key, signal: Signal, kind: str, encoding: str, body: bytes) -> Checked:
        if len(body) > _IN_THREAD_BYTES:
            checked, plain = await asyncio.to_thread(self._check, signal, kind, encoding, body)
        else:
            checked, plain = self._check(signal, kind, encoding, body)
        if not checked.accepted:
            return checked
        inflated = plain is body or kind == wire.JSON
        record = Record(
            signal=signal,
            project=key.project,
            team=key.team,
            key_id=key.id,
            received_at=self._clock(),
            encoding="" if inflated else encoding,
            body=checked.body if inflated else body,
            items=checked.accepted,
            trusted="admin" in key.scopes,
            plain=None if inflated else plain,
        )
        try:
            await asyncio.wrap_future(self._spool.append(record))
        except SpoolFullError as full:
            raise errors.overloaded("spool_full", str(full), _RETRY_AFTER_S) from None
        return checked

    def _check(self, signal: Signal, kind: str, encoding: str, body: bytes) -> tuple[Checked, bytes]:
        plain = wire.inflate(body, encoding, self.max_bytes)
        return wire.check(plain, kind, signal), plain

    def refused(self, wrong: errors.Refused) -> None:
        """Count a refusal."""
        self._metrics.refused.labels(wrong.reason).inc()
