"""The exact cache: a key in, a kept answer out; memory in front of Redis, and alone when Redis is away."""

from __future__ import annotations

import asyncio
import time

from spanledger.serving.caching import Entry, MemoryCache

from . import metrics
from .redis_link import RedisAwayError, RedisLink

_LARGEST = 4 << 20


class AnswerCache:
    """Answers by project and hash, shared by gateways through Redis."""

    def __init__(self, link: RedisLink, max_bytes: int) -> None:
        self._link = link
        self._memory = MemoryCache(max_bytes)

    async def get(self, project: str, digest: str, ttl_s: float) -> Entry | None:
        """The kept answer, not older than ``ttl_s``; None on a miss or when the cache cannot be asked."""
        key = _key(project, digest)
        data = self._memory.get(key, time.time())
        if data is None:
            data = await self._from_redis(key)
        entry = Entry.decode(data) if data else None
        if entry is None:
            return None
        expires_at = entry.stored_at / 1e9 + ttl_s
        if expires_at <= time.time():
            return None
        self._memory.put(key, data or b"", expires_at)
        return entry

    def put(self, project: str, digest: str, entry: Entry, ttl_s: float) -> None:
        """Keep an answer; never waits. Very large ones are not kept."""
        data = entry.encode()
        if len(data) > _LARGEST:
            return
        key = _key(project, digest)
        self._memory.put(key, data, entry.stored_at / 1e9 + ttl_s)
        future = self._link.submit("SET", key, data, "PX", max(1, int(ttl_s * 1000)))
        future.add_done_callback(_counted)

    async def _from_redis(self, key: str) -> bytes | None:
        try:
            return await self._link.call("GET", key)
        except RedisAwayError:
            metrics.child(metrics.REDIS_ERRORS, "cache").inc()
            return None


def _key(project: str, digest: str) -> str:
    return f"spanledger:cache:{project}:{digest}"


def _counted(future: asyncio.Future[object]) -> None:
    if not future.cancelled() and future.exception() is not None:
        metrics.child(metrics.REDIS_ERRORS, "cache").inc()
