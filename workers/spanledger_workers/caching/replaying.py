"""Calls of a route made before its semantic tier was there in; what the tier would have answered, as meetings, out.

The calls are gone through in the order in which they started, each against the answers that were complete by then,
by the very code that serves live: questions, partitions, guards, embedder, index. Meetings are checked like live
ones, so a route with traffic behind it need not wait weeks for its certificate.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b

from spanledger.records import Event
from spanledger.serving.caching import GOOD_ENDS
from spanledger.serving.semantic import Question, Recorded, Row, recorded_question
from spanledger.serving.semantic import Tier as ServingTier
from spanledger.serving.semantic.embedder import LOCAL, Embedder, local, missing
from spanledger.serving.snapshot import Route, SemanticRule
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.cache_replay import Past, PastCall, first_met, past_calls, since_of
from spanledger_collector.store.writes_evaluation import CacheMeeting, insert_cache_meetings
from spanledger_workers.audit import event, tell_once
from spanledger_workers.clock import DAY, SECOND, seconds
from spanledger_workers.memory import Memory

from .rules import Tier

MOST_CALLS = 20_000  # the newest; embedding takes about 5 ms each
LONGEST_S = 180.0  # then what was reached counts as all
_SETTLE_NS = 5 * SECOND  # a call becomes visible after it started; and gateways follow a rule within seconds
_PAGE = 500

logger = logging.getLogger("spanledger.worker")


@dataclass(slots=True)
class Found:
    """What going through the calls gave. ``left_out`` by reason."""

    calls: int = 0
    repeats: int = 0  # word for word: the exact tier's
    meetings: list[CacheMeeting] = field(default_factory=list[CacheMeeting])
    left_out: Counter[str] = field(default_factory=Counter[str])


def replay(calls: Iterator[PastCall], tier: Tier, embedder: Embedder, now: int) -> Found:
    """Go through calls, oldest first; ``now`` (ns) is when the meetings were found."""
    rule, route = _serving_rule(tier), Route(targets=tier.targets)
    serving = ServingTier(tier.project, tier.route, rule)
    found, asked = Found(), dict[bytes, int]()
    unfinished: list[tuple[int, str, Row, bytes]] = []
    for call in calls:
        found.calls += 1
        while unfinished and unfinished[0][0] <= call.start_time:
            _, _, row, vector = heapq.heappop(unfinished)
            serving.remember(row, vector)
        question = recorded_question(_recorded(call), route, rule, project=tier.project, name=tier.route)
        if not isinstance(question, Question):
            found.left_out[question] += 1
            continue
        ended = call.start_time + call.duration_ns
        words = blake2b(f"{question.digest} {call.input}".encode("utf-8", "replace"), digest_size=16).digest()
        kept = asked.get(words)
        if kept is not None and kept <= call.start_time < kept + seconds(tier.ttl_s):
            found.repeats += 1
            continue
        considered = serving.ask(question, embedder, call.start_time / SECOND)
        if considered.vector is None:
            found.left_out["long"] += 1
            continue
        if (match := considered.decision.match) is not None:
            found.meetings.append(_meeting(tier, call, match.row, match.similarity, now))
        asked[words] = ended
        entry = f"{found.calls:016x}{found.calls:016x}"
        expires_at = ended / SECOND + tier.ttl_s
        row = Row(entry, question.digest, question.text, expires_at, call.trace_id, call.span_id)
        heapq.heappush(unfinished, (ended, entry, row, considered.vector))
    return found


@dataclass(slots=True, kw_only=True)
class Replaying:
    """Replays each tier's past calls once, and again when what decides its hits has changed."""

    store: Client
    redis: Memory
    embedder: Callable[[], Embedder] = local
    monotonic: Callable[[], float] = time.monotonic

    def tick(self, tiers: list[Tier], now: int) -> list[Event]:
        """Replay the first tier that is due; returns the events written."""
        for tier in tiers:
            is_settled = now >= tier.since + 2 * _SETTLE_NS
            if (
                tier.semantic.replay_days
                and is_settled
                and self.redis.get(_done_key(tier)) != tier.replay_signature
            ):
                return self._replay(tier, now)
        return []

    def _replay(self, tier: Tier, now: int) -> list[Event]:
        why = missing() if tier.semantic.embedder == LOCAL else "its embedder is an upstream's"
        if why:
            logger.warning("Calls of route %s are not replayed for its semantic cache: %s", tier.route, why)
            found = Found()
        else:
            found = replay(self._past(tier, now), tier, self.embedder(), now)
            insert_cache_meetings(self.store, found.meetings)
        told = tell_once(self.store, tier.project, [_event(tier, found, why, now)])
        self.redis.set(_done_key(tier), tier.replay_signature)
        return told

    def _past(self, tier: Tier, now: int) -> Iterator[PastCall]:
        """The calls before the first that met a live entry, page by page, until there is no more time."""
        since = now - tier.semantic.replay_days * DAY
        live = first_met(self.store, project=tier.project, route=tier.route, tier=tier.group, since=since)
        until = now - _SETTLE_NS if live is None else live
        models = sorted({target.model for target in tier.targets})
        past = Past(project=tier.project, route=tier.route, models=models, ends=sorted(GOOD_ENDS))
        since = since_of(self.store, past, since, until, MOST_CALLS)
        stop = self.monotonic() + LONGEST_S
        while self.monotonic() < stop:
            page = past_calls(self.store, past, since, until, _PAGE)
            if len(page) == _PAGE and page[0].start_time < page[-1].start_time:
                since = page[-1].start_time  # calls of that very moment come with the next page
                yield from (call for call in page if call.start_time < since)
            else:
                yield from page
                if len(page) < _PAGE:
                    return
                since = page[-1].start_time + 1


def _event(tier: Tier, found: Found, why: str, now: int) -> Event:
    left_out = dict(found.left_out.most_common())
    told: Mapping[str, object] = {
        "calls": found.calls, "repeats": found.repeats, "meetings": len(found.meetings), "left_out": left_out,
        "days": tier.semantic.replay_days, "group": tier.group,
    }  # fmt: skip
    counted = (
        f"{found.calls} calls of the last {tier.semantic.replay_days} days: {found.repeats} were asked before word for"
        f" word, {len(found.meetings)} in other words, {sum(left_out.values())} were left out"
    )
    return event(
        "cache_replay",
        project=tier.project,
        subject=tier.route,
        time=now,
        title=f"Past calls of {tier.route} {'were not replayed' if why else 'replayed'} for its semantic cache",
        message=why or counted,
        state="left_out" if why else "replayed",
        evidence=dict(told),
        identity=("cache_replay", tier.route, tier.replay_signature),
    )


def _meeting(tier: Tier, call: PastCall, row: Row, similarity: float, now: int) -> CacheMeeting:
    return CacheMeeting(
        project=tier.project,
        route=tier.route,
        tier=tier.group,
        trace_id=bytes.fromhex(call.trace_id),
        span_id=bytes.fromhex(call.span_id),
        start_time=call.start_time,
        similarity=similarity,
        partition=row.partition,
        origin_trace=bytes.fromhex(row.trace_id),
        origin_span=bytes.fromhex(row.span_id),
        replayed_at=now // 1_000_000,
    )


def _recorded(call: PastCall) -> Recorded:
    return Recorded(
        api=call.api,
        fields=call.fields,
        messages=call.input,
        temperature=call.temperature,
        top_p=call.top_p,
        max_tokens=call.max_tokens,
        seed=call.seed,
        prompt=call.prompt,
        team=call.team,
        user=call.user_id,
    )


def _serving_rule(tier: Tier) -> SemanticRule:
    return SemanticRule(**{entry.name: getattr(tier.semantic, entry.name) for entry in fields(SemanticRule)})


def _done_key(tier: Tier) -> str:
    return f"spanledger:cache:replayed:{tier.project}:{tier.route}"
