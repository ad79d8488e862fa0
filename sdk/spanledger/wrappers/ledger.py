"""Bookings in, Redis's verdicts out; settlements go by a thread, so that no caller waits for them.

The scripts and the bookkeeping are `spanledger.serving`'s, the same as the gateway's.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from typing import Any, Final

from spanledger.serving.bookings import Booking, Knowledge, Verdict, unavailable
from spanledger.serving.budgets import RESERVE, SETTLE

logger = logging.getLogger("spanledger")
_UNSETTLED: Final = 10_000
_TIMEOUT_S: Final = 1.0
_EXIT_S: Final = 2.0


class Ledger:
    """Books and settles on one Redis.

    Raises:
        ModuleNotFoundError: ``redis`` or ``genai-prices`` is not installed; the message says what to install.
    """

    def __init__(self, url: str) -> None:
        try:
            import genai_prices  # noqa: F401  # pyright: ignore[reportUnusedImport]
            from redis import Redis, RedisError
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                f"budgets need {missing.name}: pip install 'spanledger[budgets]', "
                "or give budgets=False to spanledger.wrap() to call without budgets"
            ) from missing
        self._errors = (RedisError, OSError)
        redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._reserve, self._settle = redis.register_script(RESERVE), redis.register_script(SETTLE)
        self._knowledge = Knowledge()
        self._owed: deque[tuple[Booking, int]] = deque()
        self._wake = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None

    def ask(self, booking: Booking, likely: int) -> Verdict:
        """Try to book, once.

        Raises:
            RefusedError: 503, Redis is away.
        """
        keys, arguments = self._knowledge.reserve(booking, likely, time.time())
        try:
            answer = self._reserve(keys=keys, args=arguments)
        except self._errors as away:
            self.settle(booking, 0)  # it may be booked all the same
            raise unavailable() from away
        return self._knowledge.answered(booking, answer)

    def settle(self, booking: Booking, cost: int) -> None:
        """Replace the booking by what the call cost, in nano-dollars; 0 gives it back. Never waits, never twice."""
        with self._wake:
            if booking.closed:
                return
            booking.closed = True
            if len(self._owed) >= _UNSETTLED:
                logger.warning("A call's cost is not on its budget's counter: Redis is away for too long.")
                self._owed.popleft()
            self._owed.append((booking, cost))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spanledger-budgets", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is owed; False when the time was too short."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._owed and not self._busy, timeout_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._owed))
                booking, cost = self._owed.popleft()
                self._busy = True
            done = self._paid(booking, cost)
            with self._wake:
                self._busy = False
                if not done:
                    self._owed.appendleft((booking, cost))
                self._wake.notify_all()
            if not done:
                time.sleep(0.25)

    def _paid(self, booking: Booking, cost: int) -> bool:
        keys, arguments = self._knowledge.settle(booking, cost, time.time())
        try:
            self._knowledge.settled(booking, self._settle(keys=keys, args=arguments))
        except self._errors as away:
            logger.debug("a settlement waits for Redis: %s", away)
            return False
        return True


_ledgers: dict[str, Ledger] = {}
_lock = threading.Lock()


def ledger_at(url: str) -> Ledger:
    """The process's ledger on a Redis."""
    with _lock:
        found = _ledgers.get(url)
        if found is None:
            found = _ledgers[url] = Ledger(url)
    return found


def _leave() -> None:
    for ledger in _ledgers.values():
        if not ledger.drain(_EXIT_S):
            logger.warning("Costs of calls are not on their budgets' counters: Redis is away.")


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _ledgers.clear()  # bookings in flight are the parent's to settle


atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
