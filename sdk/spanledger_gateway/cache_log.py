"""The cache's log in Redis: what other gateways kept, what was dropped, and the workers' certificates.

The log is a stream, read from where this process stopped; a message on the channel only says that it is worth reading.
A gateway that missed a part of it, or has just begun, reads all entries of its routes anew.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from spanledger.serving.caching import Entry
from spanledger.serving.semantic import Certificate

from . import metrics
from .following import follow
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError
from .registry import RegistryFeed

if TYPE_CHECKING:
    from .answers import AnswerCache
    from .meanings import Meanings

logger = logging.getLogger("spanledger.gateway")

LOG = "spanledger:cache-log"
_BATCH = 500
_HEAD_BYTES = 8191
_EXPIRE_EVERY = 60  # rounds

# KEYS: the entry, the route's entries by last use, the log. ARGV: the entry's bytes, its life in ms, its hash, now in
# ms, most entries, the route's time to live in ms, project, route, the entry's head, who writes.
KEEP = Script("""
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. (ARGV[4] - ARGV[6]))
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'op', 'put', 'project', ARGV[7], 'route', ARGV[8],
           'entry', ARGV[3], 'head', ARGV[9], 'by', ARGV[10])
local over = redis.call('ZCARD', KEYS[2]) - ARGV[5]
if over <= 0 then return 0 end
local popped = redis.call('ZPOPMIN', KEYS[2], over)
for i = 1, #popped, 2 do
  redis.call('DEL', 'spanledger:cache:' .. ARGV[7] .. ':' .. popped[i])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'op', 'drop', 'project', ARGV[7], 'entry', popped[i])
end
return #popped / 2
""")


class CacheLog:
    """Keeps this process' caches in step with Redis."""

    def __init__(
        self,
        link: RedisLink,
        feed: RegistryFeed,
        cache: AnswerCache,
        meanings: Meanings,
        writer: str,
        poll_s: float,
    ) -> None:
        self._link = link
        self._feed = feed
        self._cache = cache
        self._meanings = meanings
        self._writer = writer
        self._poll_s = poll_s
        self._last = ""
        self._wake = asyncio.Event()
        self._rounds = 0

    def wake(self) -> None:
        """Read now."""
        self._wake.set()

    async def run(self) -> None:
        """Follow Redis until cancelled."""
        await follow(self.refresh, self._wake, self._poll_s)

    async def refresh(self) -> None:
        """Adopt new routes, obey certificates, read the log once."""
        self._meanings.adopt(self._feed.registry.snapshot)
        await self._meanings.warm()
        try:
            if not self._last:
                self._last = await self._end()
                self._meanings.unread |= set(self._meanings.places())
            await self._certify()
            if await self._is_cut():
                self._meanings.clear()
                self._meanings.unread |= set(self._meanings.places())
                self._last = await self._end()
            await self._read()
            await self._read_entries()
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
        self._rounds += 1
        if self._rounds % _EXPIRE_EVERY == 0:
            self._meanings.expire()
        self._meanings.shown()

    async def _certify(self) -> None:
        places = self._meanings.places()
        futures = [self._link.submit("HGETALL", f"spanledger:semantic:{p}:{r}") for p, r in places]
        for place, fields in zip(places, await asyncio.gather(*futures), strict=True):
            self._meanings.certify(place, Certificate.read(_pairs(fields)))

    async def _end(self) -> str:
        newest = await self._link.call("XREVRANGE", LOG, "+", "-", "COUNT", 1)
        return newest[0][0].decode() if newest else "0-0"

    async def _is_cut(self) -> bool:
        """Whether the log lost what was not read yet, or was emptied with Redis."""
        oldest = await self._link.call("XRANGE", LOG, "-", "+", "COUNT", 1)
        if not oldest:
            return self._last != "0-0"
        return self._last != "0-0" and _order(oldest[0][0].decode()) > _order(self._last)

    async def _read(self) -> None:
        while True:
            found = await self._link.call("XREAD", "COUNT", _BATCH, "STREAMS", LOG, self._last)
            messages = _messages(found)
            for number, fields in messages:
                self._last = number.decode()
                self._take({k.decode(): v for k, v in _pairs(fields).items()})
            if len(messages) < _BATCH:
                return

    def _take(self, fields: dict[str, bytes]) -> None:
        project, entry = fields.get("project", b"").decode(), fields.get("entry", b"").decode()
        if fields.get("op") == b"drop":
            self._cache.drop(project, entry)
            self._meanings.drop(project, entry)
            metrics.count(metrics.CACHE_EVICTIONS, fields.get("reason", b"size").decode())
        elif fields.get("by", b"").decode() != self._writer:
            known = Entry.of_head(fields.get("head", b""))
            if known is not None:
                self._meanings.remember((project, fields.get("route", b"").decode()), entry, known)

    async def _read_entries(self) -> None:
        """All entries of routes that have just been adopted."""
        while self._meanings.unread:
            project, route = place = next(iter(self._meanings.unread))
            names: list[bytes] = await self._link.call(
                "ZRANGE", f"spanledger:cache-used:{project}:{route}", 0, -1
            )
            for start in range(0, len(names), _BATCH):
                batch = [name.decode() for name in names[start : start + _BATCH]]
                futures = [
                    self._link.submit("GETRANGE", f"spanledger:cache:{project}:{name}", 0, _HEAD_BYTES)
                    for name in batch
                ]
                for name, data in zip(batch, await asyncio.gather(*futures), strict=True):
                    known = Entry.of_head(data.partition(b"\n")[0]) if data else None
                    if known is not None:
                        self._meanings.remember(place, name, known)
            self._meanings.unread.discard(place)
            logger.info("semantic cache of route %s: %d entries", route, len(names))


def _pairs(found: Any) -> dict[bytes, bytes]:
    """Redis' answer of field after field; RESP3 gives a map already."""
    if isinstance(found, dict):
        return cast(dict[bytes, bytes], found)
    items = cast(list[bytes], found or [])
    return dict(zip(items[::2], items[1::2], strict=False))


def _messages(found: Any) -> list[Any]:
    """The one stream's messages, in RESP2 or RESP3."""
    if not found:
        return []
    if isinstance(found, dict):
        return cast(list[Any], next(iter(cast(dict[bytes, Any], found).values())))
    return cast(list[Any], found)[0][1]


def _order(number: str) -> tuple[int, int]:
    time_ms, _, place = number.partition("-")
    return int(time_ms), int(place or 0)
