"""A call's budgets and greatest cost in; a booking, or the refusal, out. Redis decides, in one atomic step."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

from redis.exceptions import NoScriptError

from spanledger.serving.budgets import LEASE_MS, MISSING, RESERVE, SETTLE, Applied

from . import metrics
from .redis_link import RedisAwayError, RedisLink, Script
from .replies import RefusedError

_RESERVE, _SETTLE = Script(RESERVE), Script(SETTLE)
_KEEP_S = 35 * 86_400  # a counter outlives its period, so that reports can read it
_POLL_S = 0.02
_UNSETTLED = 10_000


@dataclass(slots=True)
class Booking:
    """Money booked for one call, in nano-dollars, on every budget it counts against."""

    lease: str
    amount: int
    budgets: list[Applied]
    closed: bool = False
    spent: list[int] = field(default_factory=list[int])


class Ledger:
    """Books and settles. ``known`` remembers what each counter last said, for when Redis loses it."""

    def __init__(self, link: RedisLink, wait_s: float) -> None:
        self._link = link
        self._wait_s = wait_s
        self._known: dict[str, int] = {}
        self._queues: dict[str, asyncio.Lock] = {}
        self._unsettled: deque[tuple[Booking, int]] = deque(maxlen=_UNSETTLED)
        self._settling: set[asyncio.Future[Any]] = set()

    async def reserve(self, lease: str, budgets: list[Applied], amount: int, likely: int) -> Booking:
        """Book the call's greatest cost on all its budgets, or on none.

        When only bookings of calls in flight stand in the way, waits for them.

        Raises:
            RefusedError: 429, a budget is used up (or stays fully booked); 503, Redis is away.
        """
        booking = Booking(lease, amount, budgets)
        refusing, may_wait = await self._try(booking, likely)
        if refusing is None:
            return booking
        if may_wait and self._wait_s > 0:
            refusing, may_wait = await self._queue(booking, likely, refusing)
            if refusing is None:
                return booking
        raise _refusal(refusing, may_wait)

    def settle(self, booking: Booking, cost: int) -> None:
        """Replace the booking by what the call cost; 0 gives all of it back. Never waits, never twice."""
        if booking.closed:
            return
        booking.closed = True
        self._settle(booking, cost)

    async def close(self) -> None:
        """Wait for settlements under way."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=5)

    async def run(self) -> None:
        """Repeat settlements that Redis missed, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self._repeat()

    def _repeat(self) -> None:
        for _ in range(len(self._unsettled)):
            self._settle(*self._unsettled.popleft())

    async def _queue(self, booking: Booking, likely: int, refusing: Applied) -> tuple[Applied | None, bool]:
        # One caller of each budget asks Redis again; the others stand in line behind it.
        lock = self._queues.setdefault(refusing.key, asyncio.Lock())
        until = time.monotonic() + self._wait_s
        found: tuple[Applied | None, bool] = (refusing, True)
        try:
            async with asyncio.timeout(self._wait_s), lock:
                while True:
                    found = await self._try(booking, likely)
                    if found[0] is None or not found[1] or time.monotonic() >= until:
                        return found
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return found
        finally:
            if len(self._queues) > 10_000:
                self._queues = {key: queue for key, queue in self._queues.items() if queue.locked()}

    async def _try(self, booking: Booking, likely: int) -> tuple[Applied | None, bool]:
        if self._unsettled and self._link.is_up():
            self._repeat()  # commands keep their order: what is owed counts before what is asked
        keys: list[str] = []
        arguments: list[str | int] = [
            int(time.time() * 1000),
            LEASE_MS,
            booking.lease,
            booking.amount,
            likely,
        ]
        for one in booking.budgets:
            keys += (one.key, one.key + ":leases")
            limit = -1 if one.limit is None else one.limit
            arguments += (limit, self._known.get(one.key, 0), _expiry(one))
        try:
            answer = await self._ask(keys, arguments)
        except asyncio.CancelledError:
            self.settle(booking, 0)  # it may be booked already; commands keep their order
            raise
        except RedisAwayError as away:
            metrics.child(metrics.REDIS_ERRORS, "budget").inc()
            raise RefusedError(
                503, "budget_unavailable", "the budget cannot be checked at the moment", retry_after_s=1
            ) from away
        admitted, place, may_wait, *spent = (int(value) for value in answer)
        booking.spent = spent
        self._remember(booking, spent)
        return (None, False) if admitted else (booking.budgets[place - 1], bool(may_wait))

    async def _ask(self, keys: list[str], arguments: list[str | int]) -> list[int | bytes]:
        try:
            return cast(list[int | bytes], await self._link.script(_RESERVE, [*keys, MISSING], arguments))
        except RedisAwayError as wrong:
            if not isinstance(wrong.__cause__, NoScriptError):
                raise
        return cast(list[int | bytes], await self._link.script(_RESERVE, [*keys, MISSING], arguments))

    def _settle(self, booking: Booking, cost: int) -> None:
        keys = [key for one in booking.budgets for key in (one.key, one.key + ":leases")]
        arguments: list[str | int] = [booking.lease, booking.amount, cost]
        for one in booking.budgets:
            arguments += (self._known.get(one.key, 0), _expiry(one))
        future = self._link.script(_SETTLE, [*keys, MISSING], arguments)
        self._settling.add(future)
        future.add_done_callback(functools.partial(self._settled, booking, cost))

    def _settled(self, booking: Booking, cost: int, future: asyncio.Future[Any]) -> None:
        self._settling.discard(future)
        if future.cancelled() or future.exception() is not None:
            metrics.child(metrics.REDIS_ERRORS, "settle").inc()
            if len(self._unsettled) == _UNSETTLED:
                metrics.UNSETTLED.inc()
            self._unsettled.append((booking, cost))
        else:
            self._remember(booking, [int(value) for value in future.result()])

    def _remember(self, booking: Booking, spent: list[int]) -> None:
        if len(self._known) > 10_000:
            self._known.clear()
        for one, value in zip(booking.budgets, spent, strict=True):
            self._known[one.key] = value


def _expiry(one: Applied) -> int:
    return int(one.resets_at.timestamp() - time.time()) + _KEEP_S if one.resets_at else 0


def _refusal(refusing: Applied, booked: bool) -> RefusedError:
    metrics.child(metrics.REFUSED, "budget").inc()
    resets = refusing.resets_at
    extra = {
        "budget": refusing.name,
        "resets_at": resets.strftime("%Y-%m-%dT%H:%M:%SZ") if resets else None,
    }
    if booked:
        message = f"budget {refusing.name!r} is fully booked by calls in flight; try again shortly"
        return RefusedError(429, "budget_exceeded", message, retry_after_s=1, extra=extra)
    wait = resets.timestamp() - time.time() if resets else None
    return RefusedError(
        429, "budget_exceeded", refusing.refusal(), retry_after_s=wait, retry=False, extra=extra
    )
