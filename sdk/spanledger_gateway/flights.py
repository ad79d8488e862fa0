"""Identical requests in flight: one asks upstream, the others wait for its answer.

In one process they wait on a future; between gateways the asking one holds a key in Redis that expires, and the others
look for its answer. Nobody waits longer than ``wait_s``; whoever waited in vain asks for itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from spanledger.serving.caching import Entry

from . import metrics
from .calls import Meaning
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError, Unheard, UnknownScriptError

_LEASE_S = 10.0
_CACHE = Unheard("cache")
# KEYS: the entry, the flight. ARGV: token, lease in ms. The entry; else 1 when the lease was taken, 0 when another has it.
_LOOK = Script(
    """
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
)
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.25
_RELEASE = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)

Read = Callable[[bytes], Entry | None]
Landing = tuple[Entry, Meaning | None]
"""An answer, and how it was found where it was found by meaning."""


class Flight:
    """One request that asks upstream on behalf of all like it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.landed: asyncio.Future[Landing | None] = asyncio.get_running_loop().create_future()
        self.renewal: asyncio.TimerHandle | None = None
        self.has_lease = False


class Flights:
    """The requests in flight of one gateway process."""

    def __init__(self, link: RedisLink, wait_s: float) -> None:
        self._link = link
        self._wait_s = wait_s
        self._flights: dict[str, Flight] = {}
        self._token = uuid.uuid4().hex

    async def join(self, key: str, entry_key: str, read: Read) -> Landing | Flight | None:
        """The answer that is kept, or comes of the same request in flight; or a flight, which the caller must land; None: ask
        alone. ``read`` makes an entry of what Redis keeps under ``entry_key``, if it still holds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        if (flight := self._flights.get(key)) is not None:
            return await self._follow(flight, deadline - loop.time())
        flight = self._flights[key] = Flight(key)
        try:
            entry, has_waited = await self._wait_for_others(flight, entry_key, read, deadline)
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

    def land(self, flight: Flight, landing: Landing | None) -> None:
        """Give the answer to all that wait; None releases them. Never twice, never waits."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if flight.landed.done():
            return
        flight.landed.set_result(landing)
        if flight.renewal is not None:
            flight.renewal.cancel()
        if flight.has_lease:
            flight.has_lease = False
            self._link.send_script(_RELEASE, [flight.key], [self._token], _CACHE)

    async def _wait_for_others(
        self, flight: Flight, entry_key: str, read: Read, deadline: float
    ) -> tuple[Entry | None, bool]:
        """Take the lease, or wait for whoever has it: the entry (None: the flight may ask upstream), and whether it waited."""
        loop = asyncio.get_running_loop()
        pause, has_waited = _FIRST_LOOK_S, False
        try:
            while True:
                found = await self._look(flight, entry_key)
                if isinstance(found, bytes):
                    return read(found), has_waited
                if found:
                    return None, has_waited
                if loop.time() > deadline:
                    metrics.count(metrics.CACHE_FOLLOWERS, "timeout")
                    return None, True
                has_waited = True
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_LOOK_S)
        except UnknownScriptError:
            self._link.forget_scripts()
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
        return None, has_waited

    async def _look(self, flight: Flight, entry_key: str) -> bytes | bool:
        """What is kept; else whether the lease was taken. One command: on the way of every call that is no repeat."""
        flight.has_lease = True  # perhaps: whoever is cancelled while asking gives it back
        found: bytes | int = await self._link.script(
            _LOOK, [entry_key, flight.key], [self._token, int(_LEASE_S * 1000)]
        )
        flight.has_lease = found == 1
        if isinstance(found, bytes):
            return found
        if flight.has_lease and not flight.landed.done():
            self._renew_later(flight)
        return flight.has_lease

    def _renew_later(self, flight: Flight) -> None:
        flight.renewal = asyncio.get_running_loop().call_later(_LEASE_S / 3, self._renew, flight)

    def _renew(self, flight: Flight) -> None:
        if not flight.landed.done():
            self._link.send(("PEXPIRE", flight.key, int(_LEASE_S * 1000)), _CACHE)
            self._renew_later(flight)
