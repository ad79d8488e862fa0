"""The exact cache: a key in, a kept answer out; memory in front of Redis, and alone when Redis is away."""

from __future__ import annotations

import asyncio
import time

import orjson

from spanledger.serving import replay
from spanledger.serving.caching import (
    Entry,
    MemoryCache,
    Partition,
    exact_key,
    is_worth_keeping,
    may_look_up,
    may_store,
)

from . import metrics
from .calls import Attempt, Call
from .redis_link import RedisLink
from .redis_wire import RedisAwayError

_LARGEST = 4 << 20


class AnswerCache:
    """Answers by project and hash, shared by gateways through Redis."""

    def __init__(self, link: RedisLink, max_bytes: int) -> None:
        self._link = link
        self._memory = MemoryCache(max_bytes)

    async def look_up(self, call: Call) -> Entry | None:
        """The kept answer to the call, if its route and its caller allow one; sets the call's cache state."""
        rule = call.route.cache
        if rule is None or not rule.exact:
            call.cache = "off"
            return None
        digest = exact_key(_partition(call), call.ask)
        if may_store(call.headers, call.ask):
            call.digest = digest
        if not may_look_up(call.headers, call.ask):
            call.cache = "off"
            return None
        entry = await self._get(_key(call.key.project, digest), rule.ttl_s)
        metrics.count(metrics.CACHE, "hit" if entry else "miss")
        call.cache = "exact" if entry else "miss"
        if entry is not None:
            call.entry, call.digest = entry, digest
        return entry

    def keep(self, call: Call, attempt: Attempt, body: bytes | None) -> None:
        """Keep an answer that is worth it; ``body`` is None for a stream. Never waits."""
        rule = call.route.cache
        if rule is None or not call.digest or not is_worth_keeping(attempt.answer):
            return
        whole = body or _put_together(attempt)
        if whole is None:
            return
        entry = Entry(
            body=whole,
            stored_at=time.time_ns(),
            model=attempt.answer.model,
            provider=attempt.provider,
            upstream=attempt.target.upstream,
            cost=format(attempt.cost.total, "f") if attempt.cost else "",
            trace_id=call.trace_id.hex(),
        )
        data = entry.encode()
        if len(data) > _LARGEST:
            return
        key = _key(call.key.project, call.digest)
        self._memory.put(key, data, entry.stored_at / 1e9 + rule.ttl_s)
        future = self._link.submit("SET", key, data, "PX", max(1, int(rule.ttl_s * 1000)))
        future.add_done_callback(_counted)

    async def _get(self, key: str, ttl_s: float) -> Entry | None:
        data = self._memory.get(key, time.time())
        if data is None:
            data = await self._from_redis(key)
        entry = Entry.decode(data) if data else None
        if entry is None or data is None:
            return None
        expires_at = entry.stored_at / 1e9 + ttl_s
        if expires_at <= time.time():
            return None
        self._memory.put(key, data, expires_at)
        return entry

    async def _from_redis(self, key: str) -> bytes | None:
        try:
            return await self._link.call("GET", key)
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
            return None


def _partition(call: Call) -> Partition:
    return Partition(
        project=call.key.project,
        team=call.key.team,
        route=call.ask.model,
        variant=call.headers.get("anthropic-beta", "") + call.headers.get("x-spanledger-prompt", ""),
    )


def _put_together(attempt: Attempt) -> bytes | None:
    """A streamed answer as the whole body that its caller would have got."""
    whole = replay.body(attempt.wire, attempt.answer)
    if whole is None or attempt.translation is None:
        return whole
    return orjson.dumps(attempt.translation.answer(orjson.loads(whole)))


def _key(project: str, digest: str) -> str:
    return f"spanledger:cache:{project}:{digest}"


def _counted(future: asyncio.Future[object]) -> None:
    if not future.cancelled() and future.exception() is not None:
        metrics.count(metrics.REDIS_ERRORS, "cache")
