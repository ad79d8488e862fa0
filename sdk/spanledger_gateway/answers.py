"""The cache of one gateway: a call in, a kept answer out. Exact first, then by meaning; memory in front of Redis.

Alone when Redis is away. Identical requests in flight wait for one answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from spanledger.serving import replay
from spanledger.serving.caching import (
    Entry,
    MemoryCache,
    Partition,
    exact_key,
    expiry,
    may_look_up,
    may_store,
    why_not_kept,
)
from spanledger.serving.semantic.question import VARIANTS, last_question
from spanledger.serving.snapshot import CacheRule, Route

from . import metrics
from .calls import Attempt, Call, First
from .flights import Flight, Flights, Kept
from .ledger import Bid
from .meanings import Meanings
from .redis_link import RedisLink
from .redis_wire import RedisAwayError, Unheard

_LARGEST = 4 << 20
_MOST_ROUTES = 4096
_UNHEARD = Unheard("cache")
_QUESTION_CHARACTERS = 1000


class AnswerCache:
    """Answers by project and hash, shared by gateways through Redis."""

    def __init__(
        self,
        link: RedisLink,
        max_bytes: int,
        meanings: Meanings,
        flight_wait_s: float,
        first: Callable[[Call], First | None],
    ) -> None:
        """``first`` chooses the attempt that a call begins with where nothing is kept, and what it books (`Attempts.first`)."""
        self._link = link
        self._first = first
        self._memory = MemoryCache(max_bytes)
        self._meanings = meanings
        self._flights = Flights(link, flight_wait_s)

    async def look_up(self, call: Call) -> Entry | None:
        """The kept answer to the call, if its route and its caller allow one; sets the call's cache state."""
        rule = call.route.cache
        if rule is None or not (rule.exact or rule.semantic):
            call.cache = "off"
            return None
        digest = exact_key(_partition(call, rule), call.ask)
        stores = may_store(call.headers, call.ask)
        if stores:
            call.digest = digest
        else:
            metrics.count(metrics.CACHE_NOT_KEPT, "asked_not_to")
        if not may_look_up(call.headers, call.ask):
            call.cache = "off"
            return None
        entry = await self._find(call, rule, digest, stores)
        metrics.count(metrics.CACHE, "hit" if entry else "miss")
        if entry is None:
            call.cache = "miss"
            return None
        call.cache = "semantic" if call.meaning is not None and call.meaning.hit is not None else "exact"
        metrics.count(metrics.CACHE_HITS, call.cache)
        call.entry, call.digest = entry, digest
        return entry

    async def _find(self, call: Call, rule: CacheRule, digest: str, stores: bool) -> Entry | None:
        key = _key(call.key.project, digest)
        if rule.exact:
            if not stores:
                entry = await self._get(key, rule.ttl_s)
            elif (entry := self._remembered(key, rule.ttl_s)) is None:
                entry = await self._join(call, key, digest, rule)
            if entry is not None:
                return entry
        if rule.semantic is None:
            metrics.count(metrics.CACHE_MISSES, "unknown")
            return None
        match = await self._meanings.look_up(call)
        if match is None or call.meaning is None:
            return None
        entry = await self._get(_key(call.key.project, match.row.entry), rule.ttl_s)
        if entry is None or entry.partition != call.meaning.question.digest:
            self._meanings.gone(call.meaning.tier, match.row.entry)
            metrics.count(metrics.CACHE_MISSES, "gone")
            return None
        call.meaning.hit = match
        self._meanings.used(call, match.row.entry)
        self.land(call, entry)
        return entry

    async def _join(self, call: Call, key: str, digest: str, rule: CacheRule) -> Entry | None:
        first: First | None = None

        def offer() -> Bid | None:
            nonlocal first
            first = self._first(call) if rule.semantic is None else None
            return first.bid if first is not None else None

        flight_key = f"spanledger:cache-flight:{call.key.project}:{digest}"
        joined = await self._flights.join(
            flight_key, key, lambda data: self._read(key, data, rule.ttl_s), offer
        )
        if isinstance(joined, Flight):
            call.flight = joined
            if first is not None and first.bid.verdict is not None:
                call.first = first
                if first.bid.verdict.refusing is None:
                    call.booking = first.bid.booking
            return None
        if joined is None:
            return None
        entry, call.meaning = joined
        return entry

    def keep(self, call: Call, attempt: Attempt, body: bytes | None) -> None:
        """Keep an answer that is worth it; ``body`` is None for a stream. Never waits."""
        rule = call.route.cache
        if rule is None or not call.digest:
            self.land(call, None)
            return
        entry, reason = self._entry(call, attempt, body, rule)
        if entry is None:
            metrics.count(metrics.CACHE_NOT_KEPT, reason)
            self.land(call, None)
            return
        key = _key(call.key.project, call.digest)
        data = entry.encode()
        self._memory.put(key, data, entry.expires_at)
        lives_ms = max(1, int(entry.expires_at * 1000 - time.time() * 1000))
        if not self.land(call, entry, (key, data, lives_ms)):
            self._link.send(("SET", key, data, "PX", lives_ms), _UNHEARD)
        if call.meaning is not None and not attempt.fallback_from:
            self._meanings.keep(call, entry, lives_ms)

    def land(self, call: Call, entry: Entry | None, kept: Kept | None = None) -> bool:
        """Give those who wait for the same request its answer, or let them ask for themselves; as `Flights.land`."""
        flight, call.flight = call.flight, None
        if flight is None:
            return False
        meaning = call.meaning if call.meaning is not None and call.meaning.hit is not None else None
        return self._flights.land(flight, (entry, meaning) if entry is not None else None, kept)

    def drop(self, project: str, entry: str) -> None:
        """Forget an entry here."""
        self._memory.drop(_key(project, entry))

    def _entry(
        self, call: Call, attempt: Attempt, body: bytes | None, rule: CacheRule
    ) -> tuple[Entry | None, str]:
        """The answer as an entry, or why it is not kept."""
        if reason := why_not_kept(attempt.answer):
            return None, reason
        if rule.semantic is not None and self._meanings.is_personal(call):
            return None, "personal"
        whole = body or (None if call.ask.body.get("logprobs") else _put_together(attempt))
        if whole is None:
            return None, "other"
        if len(whole) > _LARGEST:
            return None, "large"
        now = time.time_ns()
        return Entry(
            body=whole,
            stored_at=now,
            expires_at=expiry(now, rule.ttl_s, call.digest),
            model=attempt.answer.model,
            provider=attempt.provider,
            upstream=attempt.target.upstream,
            cost=format(attempt.cost.total, "f") if attempt.cost else "",
            trace_id=call.trace_id.hex(),
            span_id=attempt.span_id.hex(),
            route=call.ask.model,
            user=call.fields["user_id"],
            tags=call.headers.get("x-spanledger-tags", ""),
            prompt=call.headers.get("x-spanledger-prompt", ""),
            corpus=call.headers.get("x-spanledger-corpus", ""),
            question=call.meaning.question.text
            if call.meaning
            else last_question(call.ask)[:_QUESTION_CHARACTERS],
            partition=call.meaning.question.digest if call.meaning else "",
        ), ""

    async def _get(self, key: str, ttl_s: float) -> Entry | None:
        entry = self._remembered(key, ttl_s)
        return entry if entry is not None else await self._from_redis_only(key, ttl_s)

    def _remembered(self, key: str, ttl_s: float) -> Entry | None:
        now = time.time()
        data = self._memory.get(key, now)
        entry = Entry.decode(data) if data else None
        return entry if entry is not None and entry.stored_at / 1e9 + ttl_s > now else None

    async def _from_redis_only(self, key: str, ttl_s: float) -> Entry | None:
        try:
            data: bytes | None = await self._link.call("GET", key)
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "cache")
            return None
        return self._read(key, data, ttl_s) if data else None

    def _read(self, key: str, data: bytes, ttl_s: float) -> Entry | None:
        """What Redis keeps, if it still holds; remembered here."""
        entry = Entry.decode(data)
        if entry is None:
            return None
        expires_at = min(entry.expires_at, entry.stored_at / 1e9 + ttl_s)
        if expires_at <= time.time():
            return None
        self._memory.put(key, data, expires_at)
        return entry


_known_targets: dict[int, tuple[Route, str]] = {}


def _targets_of(route: Route) -> str:
    """The route's targets as one text; remembered, as it is wanted for every call."""
    known = _known_targets.get(id(route))
    if known is not None and known[0] is route:
        return known[1]
    text = "\n".join(f"{t.upstream}/{t.model}/{t.role}" for t in route.targets)
    if len(_known_targets) >= _MOST_ROUTES:
        _known_targets.clear()
    _known_targets[id(route)] = route, text
    return text


def _partition(call: Call, rule: CacheRule) -> Partition:
    variant = "\n".join([call.headers.get(name, "") for name in VARIANTS])
    targets = _targets_of(call.route)
    is_scoped = rule.semantic is not None and rule.semantic.user_scoped
    return Partition(
        project=call.key.project,
        team=call.key.team,
        route=call.ask.model,
        variant=f"{variant}\n{targets}",
        user=call.fields["user_id"] if is_scoped else "",
    )


def _put_together(attempt: Attempt) -> bytes | None:
    """A streamed answer as the whole body that its caller would have got."""
    whole = replay.body(attempt.wire, attempt.answer)
    if whole is None or attempt.translation is None:
        return whole
    return orjson.dumps(attempt.translation.answer(orjson.loads(whole)))


def _key(project: str, digest: str) -> str:
    return f"spanledger:cache:{project}:{digest}"
