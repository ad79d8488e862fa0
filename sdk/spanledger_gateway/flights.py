"""Identical requests in flight: one asks upstream, the others wait for its answer.

In one process they wait on a future; between gateways the asking one holds a key in Redis that expires, and the others
look for its answer. Nobody waits longer than ``wait_s``; whoever waited in vain asks for itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from spanledger.serving.caching import Entry

from . import metrics
from .calls import Meaning
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError

_LEASE_S = 10.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.25
_RELEASE = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)

Find = Callable[[], Awaitable[Entry | None]]
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

    async def join(self, key: str, find: Find) -> Landing | Flight | None:
        """The answer of the same request in flight; or a flight, which the caller must land; None: ask alone.

        ``find`` looks whether another gateway's answer has come.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        if (flight := self._flights.get(key)) is not None:
            return await self._follow(flight, deadline - loop.time())
        flight = self._flights[key] = Flight(key)
        try:
            entry = await self._wait_for_others(flight, find, deadline)
        except BaseException:
            self.land(flight, None)
            raise
        if entry is not None:
            self.land(flight, (entry, None))
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
            _forget(self._link.script(_RELEASE, [flight.key], [self._token]))

    async def _wait_for_others(self, flight: Flight, find: Find, deadline: float) -> Entry | None:
        """Take the lease, or wait for whoever has it; None: the flight may ask upstream."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_LOOK_S
        try:
            while True:
                # In one round trip: the answer may have come between our look and the lease.
                taken, entry = await asyncio.gather(self._lease(flight), find())
                if entry is not None or taken:
                    return entry
                if loop.time() > deadline:
                    metrics.count(metrics.CACHE_FOLLOWERS, "timeout")
                    return None
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_LOOK_S)
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
        return None

    async def _lease(self, flight: Flight) -> bool:
        flight.has_lease = True  # perhaps: whoever is cancelled while asking gives it back
        taken = await self._link.call("SET", flight.key, self._token, "NX", "PX", int(_LEASE_S * 1000))
        flight.has_lease = bool(taken)
        if taken and not flight.landed.done():
            self._renew_later(flight)
        return bool(taken)

    def _renew_later(self, flight: Flight) -> None:
        flight.renewal = asyncio.get_running_loop().call_later(_LEASE_S / 3, self._renew, flight)

    def _renew(self, flight: Flight) -> None:
        if not flight.landed.done():
            _forget(self._link.submit("PEXPIRE", flight.key, int(_LEASE_S * 1000)))
            self._renew_later(flight)


def _forget(future: asyncio.Future[object]) -> None:
    """Nobody waits for this answer; a failure is counted."""
    future.add_done_callback(counted)


def counted(future: asyncio.Future[object]) -> None:
    """Count a failed command of the cache."""
    if not future.cancelled() and future.exception() is not None:
        metrics.count(metrics.REDIS_ERRORS, "cache")
