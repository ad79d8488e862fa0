"""The semantic cache of one gateway: a call in; the entry that answers it, or would, out.

Embedding and search run in one thread of their own, which alone touches the indexes, so that the event loop only waits.
While a route's tier is closed its calls do not even wait: they go upstream, and what the tier would have done is
recorded when both are known.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from spanledger.serving.caching import Entry
from spanledger.serving.semantic import Certificate, Considered, Match, Question, Row, Tier, partition
from spanledger.serving.semantic.embedder import LOCAL, EmbedderError, local, missing
from spanledger.serving.snapshot import SemanticRule, Snapshot

from . import metrics
from .cache_log import KEEP, LOG
from .calls import Call, Meaning
from .embeddings import Embeddings
from .redis_link import RedisLink
from .redis_wire import Unheard

logger = logging.getLogger("spanledger.gateway")

_UNHEARD = Unheard("cache")
_MOST_WAITING = 64  # questions that may wait for the one thread
_LONGEST_THOUGHT_S = 0.5
T = TypeVar("T")
Place = tuple[str, str]
"""Project and route."""


class Meanings:
    """The semantic tiers of all routes."""

    def __init__(self, link: RedisLink, embeddings: Embeddings, writer: str) -> None:
        self._link = link
        self._embeddings = embeddings
        self._writer = writer  # names this process in the log
        self._tiers: dict[Place, Tier] = {}
        self._thread = ThreadPoolExecutor(1, "spanledger-semantic")
        self._waiting = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._off = ""
        self._is_warm = False
        self._adopted: Snapshot | None = None
        self.unread: set[Place] = set()  # routes whose kept entries are still to be read

    # The routes

    def adopt(self, snapshot: Snapshot) -> None:
        """Hold a tier for each route of the snapshot that has one."""
        if snapshot is self._adopted:
            return
        self._adopted = snapshot
        rules = dict(_rules(snapshot))
        if rules and not self._is_able():
            return
        for place in [place for place in self._tiers if place not in rules]:
            del self._tiers[place]
        for place, rule in rules.items():
            if self._changed(place, rule):
                self._tiers[place] = Tier(*place, rule)
                self.unread.add(place)

    def places(self) -> list[Place]:
        """The routes that have a tier."""
        return list(self._tiers)

    def certify(self, place: Place, certificate: Certificate) -> None:
        """Obey what the workers found about a route."""
        tier = self._tiers.get(place)
        if tier is None or tier.certificate == certificate:
            return
        was_open, tier.certificate = tier.is_open, certificate
        if tier.is_open != was_open:
            logger.info(
                "semantic cache of route %s is %s: %s",
                place[1],
                "open" if tier.is_open else "closed",
                certificate.reason,
            )

    def shown(self) -> None:
        """Bring the gauges up to date."""
        for (_, route), tier in self._tiers.items():
            metrics.CACHE_ENTRIES.labels(route).set(len(tier.index))
            metrics.CACHE_OPEN.labels(route).set(tier.is_open)

    def _changed(self, place: Place, rule: SemanticRule) -> bool:
        tier = self._tiers.get(place)
        if tier is not None and tier.rule.embedder == rule.embedder:
            tier.rule = rule
            return False
        return True

    def _is_able(self) -> bool:
        """Whether the libraries are here; said once, loudly."""
        if not self._off and (reason := missing()):
            self._off = reason
            logger.warning("the semantic cache is off, the exact cache works: %s", reason)
        return not self._off

    # One call

    async def look_up(self, call: Call) -> Match | None:
        """The neighbour that may answer the call; sets what the tier knows of it."""
        self.adopt(call.registry.snapshot)
        tier = self._tiers.get((call.key.project, call.ask.model))
        if tier is None:
            return self._missed("off")
        question = _question(call, tier.rule)
        if isinstance(question, str):
            return self._missed(question)
        if self._waiting >= _MOST_WAITING:
            return self._missed("busy")
        call.meaning = meaning = Meaning(question, tier)
        meaning.thinking = self._start(self._think(call, meaning))
        if not tier.is_open:
            return self._missed("closed")
        try:
            considered = await asyncio.wait_for(asyncio.shield(meaning.thinking), _LONGEST_THOUGHT_S)
        except TimeoutError:
            return self._missed("slow")
        if considered is None:
            return self._missed("no_vector")
        decision = considered.decision
        if decision.outcome == "hit":
            return decision.match
        return self._missed(decision.reason)

    def is_personal(self, call: Call) -> bool:
        """Whether an answer may be one person's own, and is kept for nobody."""
        rule = call.route.cache.semantic if call.route.cache else None
        return rule is not None and _question(call, rule) == "personal"

    def used(self, call: Call, entry: str) -> None:
        """A hit: the entry goes last when room is needed."""
        place = (call.key.project, call.ask.model)
        if (tier := self._tiers.get(place)) is not None:
            self._thread.submit(tier.index.touch, entry)
        command = ("ZADD", _used_key(*place), "XX", int(time.time() * 1000), entry)
        self._link.send(tuple(command), _UNHEARD)

    def keep(self, call: Call, entry: Entry, lives_ms: int) -> None:
        """Make a new answer findable, here and in the other gateways. Never waits."""
        if call.meaning is not None and call.meaning.thinking is not None:
            self._start(self._keep(call, call.meaning, entry, lives_ms))

    async def _keep(self, call: Call, meaning: Meaning, entry: Entry, lives_ms: int) -> None:
        considered = await meaning.thinking if meaning.thinking is not None else None
        if considered is None or considered.vector is None:
            metrics.count(metrics.CACHE_NOT_KEPT, "no_vector" if considered is None else "long")
            return
        known = replace(entry, vector=base64.b64encode(considered.vector).decode())
        project, route = call.key.project, call.ask.model
        self.remember((project, route), call.digest, known)
        ttl_ms = int((call.route.cache.ttl_s if call.route.cache else 0) * 1000)
        keys = [f"spanledger:cache:{project}:{call.digest}", _used_key(project, route), LOG]
        values = (
            known.encode(),
            lives_ms,
            call.digest,
            int(time.time() * 1000),
            meaning.tier.rule.max_entries,
        )
        gone = await self._link.script(
            KEEP, keys, (*values, ttl_ms, project, route, known.head(), self._writer)
        )
        if gone:
            metrics.child(metrics.CACHE_EVICTIONS, "size").inc(gone)

    # Entries of others

    def remember(self, place: Place, digest: str, entry: Entry) -> None:
        """Make an entry findable here."""
        tier = self._tiers.get(place)
        if tier is None or not entry.vector or not entry.partition:
            return
        row = Row(digest, entry.partition, entry.question, entry.expires_at, entry.trace_id, entry.span_id)
        self._thread.submit(tier.remember, row, base64.b64decode(entry.vector))

    def clear(self) -> None:
        """Forget all entries: they are read again."""
        for tier in self._tiers.values():
            self._thread.submit(tier.index.clear)

    def drop(self, project: str, entry: str) -> None:
        """Forget an entry here."""
        for (owner, _), tier in self._tiers.items():
            if owner == project:
                self._thread.submit(tier.index.drop, entry)

    def gone(self, tier: Tier, entry: str) -> None:
        """An entry whose answer is no longer there."""
        self._thread.submit(tier.index.drop, entry)

    def expire(self) -> None:
        """Forget what is over."""
        now = time.time()
        for tier in self._tiers.values():
            self._thread.submit(tier.index.expire, now)

    async def warm(self) -> None:
        """Load the embedder before the first question comes."""
        if self._is_warm:
            return
        if any(tier.rule.embedder == LOCAL for tier in self._tiers.values()):
            try:
                self._is_warm = True
                await asyncio.get_running_loop().run_in_executor(self._thread, _warm)
            except EmbedderError as wrong:
                self._off = str(wrong)
                self._tiers.clear()
                logger.warning("the semantic cache is off, the exact cache works: %s", wrong)

    async def close(self) -> None:
        """Finish what is being kept; let the thread go."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # Thinking

    async def _think(self, call: Call, meaning: Meaning) -> Considered | None:
        tier, question, now = meaning.tier, meaning.question, time.time()
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            if tier.rule.embedder == LOCAL:
                considered = await loop.run_in_executor(self._thread, _ask, tier, question, now)
            else:
                started = time.perf_counter()
                vector = await self._embeddings.embed(call, tier.rule.embedder, question.text)
                took = time.perf_counter() - started
                decision = await loop.run_in_executor(self._thread, tier.consider, question, vector, now)
                considered = Considered(decision, vector, took)
        finally:
            self._waiting -= 1
        meaning.considered = considered
        _count(considered)
        return considered

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (wrong := task.exception()) is not None:
            metrics.count(metrics.CACHE_MISSES, "failed")
            logger.debug("a question could not be considered", exc_info=wrong)

    @staticmethod
    def _missed(reason: str) -> None:
        metrics.count(metrics.CACHE_MISSES, reason)


def _ask(tier: Tier, question: Question, now: float) -> Considered:
    return tier.ask(question, local(tier.rule.embedder), now)


def _warm() -> None:
    local().embed("Is it warm?", 64)


def _count(considered: Considered) -> None:
    metrics.CACHE_EMBED.observe(considered.embed_s)
    decision = considered.decision
    for guard in decision.refused:
        metrics.count(metrics.CACHE_GUARDS, guard)
    if decision.outcome == "would_hit":
        metrics.count(metrics.CACHE_WOULD_HITS, decision.reason)


def _question(call: Call, rule: SemanticRule) -> Question | str:
    return partition(
        call.ask,
        call.route,
        rule,
        project=call.key.project,
        team=call.key.team,
        user=call.fields["user_id"],
        headers=call.headers,
    )


def _rules(snapshot: Snapshot) -> Iterator[tuple[Place, SemanticRule]]:
    for project, content in snapshot.projects.items():
        for name, route in content.routes.items():
            if route.cache is not None and route.cache.semantic is not None:
                yield (project, name), route.cache.semantic


def _used_key(project: str, route: str) -> str:
    return f"spanledger:cache-used:{project}:{route}"
