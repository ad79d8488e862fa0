"""The cache's semantic tier in process: a question in; the kept answer to the same in other words out.

The decisions are those of the gateway (`spanledger.serving.semantic`), and so is the certificate: without one of
this route in Redis nothing is served by meaning, and what would have been is recorded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spanledger import semconv
from spanledger.serving.asks import Ask
from spanledger.serving.caching import Entry
from spanledger.serving.semantic import Considered, Match, Question, Row, Tier, partition
from spanledger.serving.semantic.embedder import Embedder, EmbedderError, local
from spanledger.serving.snapshot import Route, SemanticRule
from spanledger.settings import Settings
from spanledger.wrappers.caches import ExactCache
from spanledger.wrappers.route_states import certificate_of

logger = logging.getLogger("spanledger")


@dataclass(slots=True)
class Meant:
    """One request's question, and what became of it."""

    question: Question
    considered: Considered | None = None
    hit: Match | None = None
    trace_id: str = ""
    span_id: str = ""

    def facts(self, group: str) -> dict[str, Any]:
        """What the record of the call says about it."""
        match = self.hit or (self.considered.decision.match if self.considered else None)
        if match is None:
            return {}
        facts: dict[str, Any] = {
            semconv.CACHE_CANDIDATE_TRACE: match.row.trace_id,
            semconv.CACHE_CANDIDATE_SPAN: match.row.span_id,
            semconv.CACHE_PARTITION: match.row.partition,
            semconv.CACHE_GROUP: group,
        }
        if self.hit is None:
            facts[semconv.CACHE_CANDIDATE] = match.row.entry
            facts[semconv.CACHE_CANDIDATE_SIMILARITY] = match.similarity
        else:
            facts[semconv.CACHE_ENTRY] = match.row.entry
            facts[semconv.CACHE_SIMILARITY] = match.similarity
        return facts


class SemanticCache(ExactCache):
    """Answers to requests that were asked before, word for word or in other words. One may serve several clients.

    Give `wrap` the route's name as well: its certificate, which the workers write to Redis
    (``SPANLEDGER_REDIS_URL``), decides whether answers in other words are served. Until then what would have been
    served is recorded. Needs ``spanledger[cache]``; without it the exact tier works and a warning says so.

    Args:
        ttl_s: How long an answer is good, in seconds.
        max_bytes: How much is kept; the least recently used goes first.
        rule: Lowest similarity, most entries and tokens, whether answers belong to users.
        embedder: Another embedder than the built-in one.
    """

    def __init__(
        self,
        ttl_s: float = 3600.0,
        max_bytes: int = 64 << 20,
        *,
        rule: SemanticRule | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        super().__init__(ttl_s, max_bytes)
        self.rule = rule or SemanticRule(max_entries=10_000)
        self._embedder = embedder
        self._tiers: dict[tuple[str, str], Tier] = {}
        self._thinking = threading.Lock()
        self._is_off = False

    def question(
        self, ask: Ask, route: Route, settings: Settings, headers: Mapping[str, str]
    ) -> Meant | None:
        """The question of a request, if the tier takes it."""
        user = headers.get("x-spanledger-user") or ask.user
        found = partition(
            ask,
            route,
            self.rule,
            project=settings.project,
            team=settings.team,
            user=user,
            headers=headers,
        )
        return Meant(found) if isinstance(found, Question) else None

    def look_up(self, meant: Meant, route: str, settings: Settings) -> Entry | None:
        """The answer to the question in other words, where the route's certificate allows it."""
        embedder = self._ready()
        if embedder is None:
            return None
        with self._thinking:
            tier = self.tier(route, settings)
            meant.considered = tier.ask(meant.question, embedder, time.time())
        decision = meant.considered.decision
        if decision.outcome != "hit" or decision.match is None:
            return None
        entry = self.get(decision.match.row.entry)
        if entry is not None:
            meant.hit = decision.match
        return entry

    def remember(self, meant: Meant, key: str, route: str, settings: Settings) -> None:
        """Make an answer that was just kept findable by its question."""
        if meant.considered is None or meant.considered.vector is None:
            return
        row = Row(
            key,
            meant.question.digest,
            meant.question.text,
            time.time() + self.ttl_s,
            meant.trace_id,
            meant.span_id,
        )
        with self._thinking:
            self.tier(route, settings).remember(row, meant.considered.vector)

    def tier(self, route: str, settings: Settings) -> Tier:
        """The route's tier, under its certificate of now."""
        place = (settings.project, route)
        found = self._tiers.get(place)
        if found is None:
            found = self._tiers[place] = Tier(*place, self.rule)
        found.certificate = certificate_of(route, settings)
        return found

    def _ready(self) -> Embedder | None:
        if self._embedder is None and not self._is_off:
            try:
                self._embedder = local(self.rule.embedder)
            except EmbedderError as wrong:
                self._is_off = True
                logger.warning("The semantic cache is off, the exact cache works: %s", wrong)
        return self._embedder
