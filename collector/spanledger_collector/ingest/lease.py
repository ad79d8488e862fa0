"""One writer at a time among the collectors of one store: between looking what is stored and storing it.

Two collectors may hold the same span, when a sender gave up on one and went to the other. Each looks whether
the span is stored before it stores it, so only one may be between the two.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

import redis

logger = logging.getLogger(__name__)

TTL_MS = 30_000
"""A collector that dies within its turn holds the others up for this long."""
_WAIT_S, _AWAY_S = 0.02, 5.0
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"


class Lease(Protocol):
    """The right to look and to store."""

    def turn(self) -> Any:
        """A context manager; inside it no other collector of the store looks or stores."""
        ...

    def renew(self) -> None:
        """Say, within a turn that takes long, that it is not over."""
        ...


class Alone:
    """For a collector that is the only one."""

    @contextmanager
    def turn(self) -> Generator[None]:
        """Always granted."""
        yield

    def renew(self) -> None:
        """Nothing to renew."""


class RedisLease:
    """A key in Redis, one for each store. Without Redis the turn is taken unasked, and counted.

    Collectors that cannot agree go on storing: a span sent twice to two of them within one second may then be
    stored twice, where waiting for Redis would fill the spool.
    """

    def __init__(self, client: redis.Redis, store: str, unasked: Callable[[], None]) -> None:
        """``store`` names what the collectors share; ``unasked`` is called for each turn taken without asking."""
        self._client: Any = client
        self._key, self._token = f"spanledger:ingest:{store}", secrets.token_hex(8)
        self._unasked, self._held = unasked, False
        self._ask_again = (
            0.0  # monotonic seconds: a Redis that is away costs one time-out now and then, not each turn
        )

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for the turn, at most until its last holder must be dead."""
        self._held = self._acquire()
        try:
            yield
        finally:
            if self._held:
                self._run(_RELEASE, self._token)
            self._held = False

    def renew(self) -> None:
        """Another 30 s."""
        if self._held:
            self._run(_RENEW, self._token, TTL_MS)

    def _acquire(self) -> bool:
        now = time.monotonic()
        deadline = now + TTL_MS / 1000 + 5 if now >= self._ask_again else now
        while time.monotonic() < deadline:
            try:
                if self._client.set(self._key, self._token, nx=True, px=TTL_MS):
                    return True
            except redis.RedisError:
                self._ask_again = time.monotonic() + _AWAY_S
                break
            time.sleep(_WAIT_S)
        self._unasked()
        return False

    def _run(self, script: str, *arguments: object) -> None:
        try:
            self._client.eval(script, 1, self._key, *arguments)
        except redis.RedisError as away:
            logger.warning("the writers' turn could not be told to Redis: %s", away)
