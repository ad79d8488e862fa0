"""New hits and would-be hits in; verdicts on them, as scores, out. Checking again writes the same scores.

Which ones are checked never depends on what their answers say: all while nothing is certified; later the audited
share, and everything between a paused threshold and the one that is certified.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from spanledger.records import Score
from spanledger.serving.semantic.decision import is_audited
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.cache_checks import Audit, Met, audits, checked, hits, would_be_hits
from spanledger_collector.store.reads.cache_replay import unchecked
from spanledger_collector.store.reads.evaluation import TraceSpan, traces
from spanledger_collector.store.writes_evaluation import insert_scores
from spanledger_evaluators.cached_answers import DIFFERENT, NAME, SAME_TEXT
from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.running import score_cases
from spanledger_evaluators.traces import case_of
from spanledger_workers.clock import DAY, MINUTE, SECOND, seconds
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.identity import identify
from spanledger_workers.memory import Memory

from . import metrics
from .rules import Tier
from .state import TierState, published

WATERMARKS = "spanledger:cache:watermark"
"""Redis hash: up to which ``inserted_at`` (ns) calls were looked at, by ``would_be`` and ``audits``."""

SETTLE_NS = 2 * SECOND  # the other spans of a trace come with another batch
OVERLAP_NS = 10 * SECOND  # an insert becomes visible after the time it is stamped with
LOOK_BACK_NS = 15 * MINUTE  # where to begin when Redis forgot
PAGE = 200
AT_ONCE = 8

Scorers = Callable[[Tier], Sequence[Scorer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One meeting to be judged: the case (cached answer, fresh answer as its reference) and its sampling share."""

    met: Met
    case: Case
    share: float


def wants(met: Met, state: TierState, rule_share: float) -> float:
    """The share in which such would-be hits are checked now; 0 where this one is not among them."""
    if state.group != met.group or state.certified <= 0:
        return 1.0
    if met.similarity >= state.certified:
        return 1.0  # paused: what is not served is checked
    share = max(rule_share, state.audit_share)
    return share if is_audited(bytes.fromhex(met.trace_id), bytes.fromhex(met.span_id), share) else 0.0


def rows(tier: Tier, pairs: Sequence[Pair], results: Sequence[Result], now: int) -> list[Score]:
    """The scores of judged pairs; their ids depend on the call alone."""
    return [
        Score(
            project=tier.project,
            score_id=identify("cache check", tier.project, pair.met.trace_id, pair.met.span_id),
            trace_id=bytes.fromhex(pair.met.trace_id),
            span_id=bytes.fromhex(pair.met.span_id),
            name=NAME,
            value=result.value,
            label=result.label,
            explanation=result.explanation,
            status=result.status,
            source="match" if result.label in (SAME_TEXT, DIFFERENT) else "judge",
            scorer=result.scorer,
            scorer_version=result.scorer_version,
            judge_id=result.judge_id,
            evaluator=tier.rule.name,
            sample_rate=pair.share,
            cost=result.cost,
            time=pair.met.start_time,
            created_at=now,
            route=tier.route,
        )
        for pair, result in zip(pairs, results, strict=True)
    ]


@dataclass(slots=True, kw_only=True)
class Checker:
    """Finds what is to be checked, and has it judged within each tier's daily cap."""

    store: Client
    redis: Memory
    runner: asyncio.Runner
    scorers: Scorers
    caps: Caps
    clock: Callable[[], int]

    def tick(self, known: Sequence[Tier]) -> Mapping[str, int]:
        """Check what is new; how many verdicts came of it."""
        by_place = {(tier.project, tier.route): tier for tier in known}
        now = self.clock()
        done = 0
        for name, read in (("would_be", self._would_be), ("audits", self._audits)):
            since, until = self._since(name, now), now - SETTLE_NS
            if since >= until:
                continue
            pairs, reached = read(by_place, since, until, now)
            done += self._judge_all(by_place, pairs)
            self.redis.hset(WATERMARKS, name, reached)
        replayed = sum(self._replayed(tier, now) for tier in known)
        return {"checked": done + replayed, "replayed": replayed}

    def _replayed(self, tier: Tier, now: int) -> int:
        """Have past calls' meetings checked while the tier waits for its certificate; what no cap allows waits."""
        if not tier.semantic.replay_days or published(self.redis, tier.project, tier.route).certified > 0:
            return 0
        oldest = now - tier.semantic.replay_days * DAY - DAY
        found = unchecked(
            self.store,
            project=tier.project,
            tier=tier.group,
            judge=tier.judge_id,
            oldest=oldest,
            limit=PAGE,
        )
        pairs = self.pairs([(met, 1.0) for met in found], {})
        return self.judge(tier, pairs, waits=True) if pairs else 0

    def _since(self, name: str, now: int) -> int:
        stored = self.redis.hget(WATERMARKS, name)
        return int(stored) - OVERLAP_NS if stored else now - LOOK_BACK_NS

    def _would_be(
        self, tiers: Mapping[tuple[str, str], Tier], since: int, until: int, now: int
    ) -> tuple[list[Pair], int]:
        found = would_be_hits(self.store, since=since, until=until, limit=PAGE)
        reached = _reached(found, until)
        fresh = self._unknown([met for met in found if (met.project, met.route) in tiers], now)
        states = {
            place: published(self.redis, *place) for place in {(met.project, met.route) for met in fresh}
        }
        chosen: list[tuple[Met, float]] = []
        for met in fresh:
            tier = tiers[met.project, met.route]
            share = wants(met, states[met.project, met.route], tier.semantic.audit_share)
            if share and met.group == tier.group:
                chosen.append((met, share))
        return self.pairs(chosen, {}), reached

    def _audits(
        self, tiers: Mapping[tuple[str, str], Tier], since: int, until: int, now: int
    ) -> tuple[list[Pair], int]:
        found = audits(self.store, since=since, until=until, limit=PAGE)
        reached = _reached(found, until)
        asked = {(audit.hit_trace, audit.hit_span): audit for audit in found if audit.status == "ok"}
        met: list[Met] = []
        for project in {audit.project for audit in found}:
            traces_of = [audit.hit_trace for audit in found if audit.project == project]
            met += hits(self.store, project=project, trace_ids=traces_of, oldest=now - DAY).values()
        chosen: list[tuple[Met, float]] = []
        for hit in self._unknown([hit for hit in met if (hit.trace_id, hit.span_id) in asked], now):
            tier = tiers.get((hit.project, hit.route))
            if tier is not None and hit.group == tier.group:
                state = published(self.redis, hit.project, hit.route)
                chosen.append((hit, max(tier.semantic.audit_share, state.audit_share)))
        return self.pairs(chosen, asked), reached

    def _unknown(self, found: Sequence[Met], now: int) -> list[Met]:
        fresh: list[Met] = []
        for project in {met.project for met in found}:
            own = [met for met in found if met.project == project]
            seen = checked(
                self.store, project=project, trace_ids=[met.trace_id for met in own], oldest=now - 2 * DAY
            )
            fresh += [met for met in own if (met.trace_id, met.span_id) not in seen]
        return fresh

    def pairs(
        self, chosen: Sequence[tuple[Met, float]], asked: Mapping[tuple[str, str], Audit]
    ) -> list[Pair]:
        """The cases of meetings, of what their traces hold; for audited hits ``asked`` tells the fresh answer."""
        made: list[Pair] = []
        for project in {met.project for met, _ in chosen}:
            own = [(met, share) for met, share in chosen if met.project == project]
            wanted = {met.trace_id for met, _ in own} | {
                met.origin_trace for met, _ in own if met.origin_trace
            }
            wanted |= {audit.trace_id for audit in asked.values() if audit.project == project}
            times = [met.start_time for met, _ in own]
            found = traces(
                self.store, project=project, trace_ids=wanted, near=[min(times) - 31 * DAY, *times]
            )
            for met, share in own:
                audit = asked.get((met.trace_id, met.span_id))
                made.append(Pair(met=met, case=_case(met, audit, found), share=share))
        return made

    def judge(self, tier: Tier, pairs: Sequence[Pair], *, waits: bool = False) -> int:
        """Judge pairs of one tier and store the verdicts; how many.

        What the daily cap forbids is stored as such, or, where it ``waits``, left for another day.
        """
        caps = self.caps
        grant = caps.reserve(tier.rule, len(pairs), self.clock())
        try:
            granted = pairs[: grant.jobs]
            scorers = self.scorers(tier)
            cases = [pair.case for pair in granted]
            found = self.runner.run(score_cases(scorers, cases, concurrency=AT_ONCE)) if cases else []
            results = [own[0] for own in found]
        finally:
            caps.release(grant)
        if waits:
            pairs = granted
        refused = Result(name=NAME, status="over_budget", explanation=grant.why)
        results += [refused] * (len(pairs) - len(results))
        scores = rows(tier, pairs, results, self.clock())
        insert_scores(self.store, scores)
        metrics.checked(scores)
        return len(pairs)

    def _judge_all(self, tiers: Mapping[tuple[str, str], Tier], pairs: Sequence[Pair]) -> int:
        done = 0
        for place, tier in tiers.items():
            own = [pair for pair in pairs if (pair.met.project, pair.met.route) == place]
            done += self.judge(tier, own) if own else 0
        return done


def _case(met: Met, audit: Audit | None, found: Mapping[str, Sequence[TraceSpan]]) -> Case:
    """A would-be hit's own answer is the fresh one and the entry's origin holds the cached one; a hit's is cached."""
    own = _told(met.trace_id, met.span_id, found)
    if audit is not None:
        return Case(
            question=own.question,
            answer=own.answer,
            reference=_told(audit.trace_id, audit.span_id, found).answer,
        )
    cached = _told(met.origin_trace, met.origin_span, found)
    return Case(question=own.question, answer=cached.answer, reference=own.answer)


def _told(trace_id: str, span_id: str, found: Mapping[str, Sequence[TraceSpan]]) -> Case:
    trace = found.get(trace_id, ())
    call = next((span for span in trace if span.span_id == span_id), None)
    return case_of(call, trace) if call is not None else Case()


def _reached(found: Sequence[Met] | Sequence[Audit], until: int) -> int:
    """Where to go on: behind everything, or at the last moment of a full page, again."""
    return until if len(found) < PAGE else found[-1].inserted_at + OVERLAP_NS


def oldest_call(tier: Tier, now: int) -> int:
    """Since when calls of a tier count at all, ns."""
    return now - max(90 * DAY, seconds(tier.ttl_s))
