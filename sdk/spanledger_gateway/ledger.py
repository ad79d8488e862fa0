"""A call's budgets and greatest cost in; a booking, or the refusal, out. Redis decides, in one atomic step."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from spanledger.serving.bookings import POLL_S, Booking, Knowledge, Verdict, refusal_of, unavailable
from spanledger.serving.budgets import RESERVE, SETTLE, Applied

from . import metrics
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError, UnknownScriptError

_RESERVE, _SETTLE = Script(RESERVE), Script(SETTLE)
_UNSETTLED = 10_000
_CLOSE_S = 5.0


@dataclass(slots=True)
class Bid:
    """A booking to ask Redis for; ``likely`` is what the call likely costs, in nano-dollars. Whoever asks Redis something else
    at the same time may ask for the booking too: ``verdict`` is then what Redis said.
    """

    ledger: Ledger
    booking: Booking
    likely: int
    verdict: Verdict | None = None

    def command(self) -> tuple[list[str], list[str | int]]:
        """Keys and arguments of ``RESERVE``, to be sent now."""
        return self.ledger.command(self)

    def answered(self, answer: Sequence[int | bytes]) -> None:
        """Read the answer of ``RESERVE``."""
        self.verdict = self.ledger.verdict(self, answer)

    def withdraw(self) -> None:
        """Nobody waits for the answer any more: it may be booked already, and commands keep their order."""
        self.ledger.settle(self.booking, 0)


class Ledger:
    """Books and settles."""

    def __init__(self, link: RedisLink, wait_s: float) -> None:
        self._link = link
        self._wait_s = wait_s
        self._knowledge = Knowledge()
        self._queues: dict[str, asyncio.Lock] = {}
        self._unsettled: deque[tuple[Booking, int]] = deque(maxlen=_UNSETTLED)
        self._settling = 0  # under way

    def bid(self, lease: str, budgets: list[Applied], amount: int, likely: int) -> Bid:
        """What a call wants booked: ``amount``, its greatest cost, in nano-dollars."""
        return Bid(self, Booking(lease, amount, budgets), likely)

    async def reserve(self, bid: Bid) -> Booking:
        """Book the call's greatest cost on all its budgets, or on none.

        When only bookings of calls in flight stand in the way, waits for them.

        Raises:
            RefusedError: 429, a budget is used up (or stays fully booked); 503, Redis is away.
        """
        verdict = bid.verdict or await self._try(bid)
        if verdict.refusing is not None and verdict.may_wait and self._wait_s > 0:
            verdict = await self._queue(bid, verdict)
        if verdict.refusing is None:
            return bid.booking
        metrics.count(metrics.REFUSED, "budget")
        raise refusal_of(verdict, time.time())

    def command(self, bid: Bid) -> tuple[list[str], list[str | int]]:
        """Keys and arguments of ``RESERVE``, to be sent now."""
        if self._unsettled and self._link.is_up():
            self._repeat()  # commands keep their order: what is owed counts before what is asked
        return self._knowledge.reserve(bid.booking, bid.likely, time.time())

    def verdict(self, bid: Bid, answer: Sequence[int | bytes]) -> Verdict:
        """What Redis' answer to ``RESERVE`` means."""
        return self._knowledge.answered(bid.booking, answer)

    def settle(self, booking: Booking, cost: int) -> None:
        """Replace the booking by what the call cost; 0 gives all of it back. Never waits, never twice."""
        if booking.closed:
            return
        booking.closed = True
        self._settle(booking, cost)

    async def close(self) -> None:
        """Wait for settlements under way."""
        until = time.monotonic() + _CLOSE_S
        while self._settling and time.monotonic() < until:
            await asyncio.sleep(0.01)

    async def run(self) -> None:
        """Repeat settlements that Redis missed, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self._repeat()

    def _repeat(self) -> None:
        for _ in range(len(self._unsettled)):
            self._settle(*self._unsettled.popleft())

    async def _queue(self, bid: Bid, found: Verdict) -> Verdict:
        # One caller of each budget asks Redis again; the others stand in line behind it.
        assert found.refusing is not None
        lock = self._queues.setdefault(found.refusing.key, asyncio.Lock())
        until = time.monotonic() + self._wait_s
        try:
            async with asyncio.timeout(self._wait_s), lock:
                while True:
                    found = await self._try(bid)
                    if found.refusing is None or not found.may_wait or time.monotonic() >= until:
                        return found
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return found
        finally:
            if len(self._queues) > 10_000:
                self._queues = {key: queue for key, queue in self._queues.items() if queue.locked()}

    async def _try(self, bid: Bid) -> Verdict:
        try:
            answer = await self._ask(*self.command(bid))
        except asyncio.CancelledError:
            bid.withdraw()
            raise
        except RedisAwayError as away:
            metrics.count(metrics.REDIS_ERRORS, "budget")
            raise unavailable() from away
        return self.verdict(bid, answer)

    async def _ask(self, keys: list[str], arguments: list[str | int]) -> list[int | bytes]:
        try:
            return cast(list[int | bytes], await self._link.script(_RESERVE, keys, arguments))
        except UnknownScriptError:
            self._link.forget_scripts()
        return cast(list[int | bytes], await self._link.script(_RESERVE, keys, arguments))

    def _settle(self, booking: Booking, cost: int) -> None:
        keys, arguments = self._knowledge.settle(booking, cost, time.time())
        self._settling += 1
        self._link.send_script(_SETTLE, keys, arguments, Settlement(self, booking, cost))

    def settled(self, booking: Booking, answer: list[int | bytes]) -> None:
        """Redis has taken it."""
        self._settling -= 1
        self._knowledge.settled(booking, answer)

    def unsettled(self, booking: Booking, cost: int, wrong: Exception) -> None:
        """It has not: say it again later."""
        self._settling -= 1
        if isinstance(wrong, UnknownScriptError):
            self._link.forget_scripts()
        metrics.count(metrics.REDIS_ERRORS, "settle")
        if len(self._unsettled) == _UNSETTLED:
            metrics.UNSETTLED.inc()
        self._unsettled.append((booking, cost))


@dataclass(slots=True)
class Settlement:
    """Takes Redis' answer to one settlement, as a future would at three times the cost."""

    ledger: Ledger
    booking: Booking
    cost: int

    def done(self) -> bool:
        """It always matters."""
        return False

    def set_result(self, result: list[int | bytes], /) -> None:
        """It is settled."""
        self.ledger.settled(self.booking, result)

    def set_exception(self, exception: Exception, /) -> None:
        """It is not."""
        self.ledger.unsettled(self.booking, self.cost, exception)
