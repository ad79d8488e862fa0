"""Identical requests in flight: one asks upstream, the others wait for its answer.

In one process they wait on a future; between gateways the asking one holds a key in Redis that expires, and the others
look for its answer. Nobody waits longer than ``wait_s``; whoever waited in vain asks for itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from spanledger.serving.budgets import RESERVING
from spanledger.serving.caching import Entry

from . import metrics
from .calls import Meaning
from .ledger import Bid
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError, Unheard, UnknownScriptError

_LEASE_MS = 10_000
_RENEW_S = _LEASE_MS / 4000  # a lease is renewed before it is half over
_CACHE = Unheard("cache")
# KEYS: the entry, the flight. ARGV: token, lease in ms. The entry; 0 when another has the lease; 1 when it was taken. What
# follows of either is a booking's: asked for with the lease, its answer instead of 1.
_LOOK = Script(
    RESERVING
    + """
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
if #KEYS == 2 then return 1 end
return reserve({unpack(KEYS, 3)}, {unpack(ARGV, 3)})
"""
)
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.25
# KEYS: the flight, the entry. ARGV: token, and to keep an answer its bytes and its life in ms. The entry is there before
# the lease is given back: whoever takes it next finds the answer.
_RELEASE = Script(
    """
if ARGV[2] then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)

Read = Callable[[bytes], Entry | None]
Landing = tuple[Entry, Meaning | None]
"""An answer, and how it was found where it was found by meaning."""
Kept = tuple[str, bytes, int]
"""Key, bytes and life in ms of an answer that Redis is to keep."""


class Flight:
    """One request that asks upstream on behalf of all like it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.landed: asyncio.Future[Landing | None] = asyncio.get_running_loop().create_future()
        self.has_lease = False
        self.is_long = False  # it was in flight when leases were renewed


class Flights:
    """The requests in flight of one gateway process."""

    def __init__(self, link: RedisLink, wait_s: float) -> None:
        self._link = link
        self._wait_s = wait_s
        self._flights: dict[str, Flight] = {}
        self._token = uuid.uuid4().hex
        self._renewal: asyncio.TimerHandle | None = None

    async def join(
        self, key: str, entry_key: str, read: Read, offer: Callable[[], Bid | None]
    ) -> Landing | Flight | None:
        """The answer that is kept, or comes of the same request in flight; or a flight, which the caller must land; None: ask
        alone. ``read`` makes an entry of what Redis keeps under ``entry_key``, if it still holds. What ``offer`` gives is asked
        for with the first look: it has a verdict where the flight's lease was taken then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        if (flight := self._flights.get(key)) is not None:
            return await self._follow(flight, deadline - loop.time())
        flight = self._flights[key] = Flight(key)
        try:
            entry, has_waited = await self._wait_for_others(flight, entry_key, read, deadline, offer())
        except BaseException:
            self.land(flight, None)
            raise
        if entry is not None:
            self.land(flight, (entry, None))
            if has_waited:
                metrics.count(metrics.CACHE_FOLLOWERS, "answered")
            return entry, None
        return flight

    async def _follow(self, flight: Flight, wait_s: float) -> Landing | None:
        """The flight's answer; None when it landed without one, or too late: all who waited are free at once."""
        try:
            landing = await asyncio.wait_for(asyncio.shield(flight.landed), wait_s)
        except TimeoutError:
            metrics.count(metrics.CACHE_FOLLOWERS, "timeout")
            return None
        metrics.count(metrics.CACHE_FOLLOWERS, "answered" if landing else "released")
        return landing

    def land(self, flight: Flight, landing: Landing | None, kept: Kept | None = None) -> bool:
        """Give the answer to all that wait; None releases them. Never twice, never waits.

        Whether Redis got ``kept`` to keep, which it does where it gets the lease back.
        """
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if flight.landed.done():
            return False
        flight.landed.set_result(landing)
        if not flight.has_lease:
            return False
        flight.has_lease = False
        if kept is None:
            self._link.send_script(_RELEASE, (flight.key,), (self._token,), _CACHE)
            return False
        key, data, lives_ms = kept
        self._link.send_script(_RELEASE, (flight.key, key), (self._token, data, lives_ms), _CACHE)
        return True

    async def _wait_for_others(
        self, flight: Flight, entry_key: str, read: Read, deadline: float, bid: Bid | None
    ) -> tuple[Entry | None, bool]:
        """Take the lease, or wait for whoever has it: the entry (None: the flight may ask upstream), and whether it waited."""
        loop = asyncio.get_running_loop()
        pause, has_waited = _FIRST_LOOK_S, False
        try:
            while True:
                found = await self._look(flight, entry_key, bid)
                if isinstance(found, bytes):
                    return read(found), has_waited
                if found:
                    return None, has_waited
                if loop.time() > deadline:
                    metrics.count(metrics.CACHE_FOLLOWERS, "timeout")
                    return None, True
                has_waited, bid = True, None
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_LOOK_S)
        except UnknownScriptError:
            self._link.forget_scripts()
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
        return None, has_waited

    async def _look(self, flight: Flight, entry_key: str, bid: Bid | None) -> bytes | bool:
        """What is kept; else whether the lease was taken. One command: on the way of every call that is no repeat."""
        keys: list[str] = [entry_key, flight.key]
        arguments: list[str | int] = [self._token, _LEASE_MS]
        if bid is not None:
            its_keys, its_arguments = bid.command()
            keys += its_keys
            arguments += its_arguments
        flight.has_lease = True  # perhaps: whoever is cancelled while asking gives it back
        try:
            found: bytes | int | list[int | bytes] = await self._link.script(_LOOK, keys, arguments)
        except asyncio.CancelledError:
            if bid is not None:
                bid.withdraw()
            raise
        if isinstance(found, bytes):
            flight.has_lease = False
            return found
        if bid is not None and isinstance(found, list):
            bid.answered(found)
        flight.has_lease = found != 0
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().call_later(_RENEW_S, self._renew)
        return flight.has_lease

    def _renew(self) -> None:
        """Renew the leases of all that were in flight the last time too: one timer, not one a call."""
        flights = [flight for flight in self._flights.values() if flight.has_lease]
        for flight in flights:
            if flight.is_long:
                self._link.send(("PEXPIRE", flight.key, _LEASE_MS), _CACHE)
            flight.is_long = True
        self._renewal = asyncio.get_running_loop().call_later(_RENEW_S, self._renew) if flights else None
