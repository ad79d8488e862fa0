"""Evidence in; the certificate that gateways obey, and the events that tell how it came about, out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.cache_checks import verdicts
from spanledger_collector.store.reads.evaluation import last_states
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.clock import MINUTE, SECOND
from spanledger_workers.memory import Memory

from .checking import oldest_call
from .evidence import Evidence, is_person, rebuilt, restored
from .rules import Tier
from .state import TierState, publish, published

SETTLE_NS = 1 * SECOND  # another worker's verdicts become visible after the time they are stamped with
MOST_UNJUDGED = 0.1  # share of checks without a verdict beyond which nothing may be promised
HISTORY_NS = MINUTE  # between two points of the bound's history, while the state stays


def evidence_key(project: str, route: str) -> str:
    """The Redis key of what is known of a tier between two looks."""
    return f"spanledger:cache:evidence:{project}:{route}"


def decided(evidence: Evidence, now: int) -> TierState:
    """The tier's state as the evidence has it; ``since`` is now."""
    tier, pool = evidence.tier, evidence.pool
    allowed = tier.semantic.max_wrong_hits
    found = pool.certificate()
    refusal = _refusal(evidence, found.checks)
    is_open = found.threshold is not None and not refusal
    threshold = found.threshold if is_open and found.threshold is not None else 1.0
    return TierState(
        state="open" if is_open else "closed",
        threshold=threshold,
        certified=0.0 if refusal else found.certified or 0.0,
        bound=found.bound,
        allowed=allowed,
        checks=found.checks,
        wrong=found.wrong,
        needed=found.needed,
        since=now,
        reason=refusal
        or _reason(found.certified, threshold if is_open else None, found.checks, found.needed),
        group=tier.group,
        audit_share=pool.audit_share(tier.semantic.audit_share),
        unjudged=evidence.unjudged,
        apart={name: (value or 0.0) for name, value in pool.thresholds_apart().items()},
    )


def _refusal(evidence: Evidence, checks: int) -> str:
    """Why the tier stays closed whatever the evidence says; empty where nothing forbids it."""
    why = evidence.judge.forbids(evidence.tier.semantic.max_wrong_hits)
    if (
        not why
        and evidence.unjudged > MOST_UNJUDGED * (checks + evidence.unjudged)
        and evidence.unjudged >= 5
    ):
        why = f"{evidence.unjudged} of {checks + evidence.unjudged} checks got no verdict from the judge"
    return why


def _reason(certified: float | None, served: float | None, checks: int, needed: int) -> str:
    if served is not None and certified is not None and served > certified:
        return f"certified from {certified:.3f} on; after a wrong hit served from {served:.3f} on"
    if served is not None:
        return f"certified from {served:.3f} on"
    if certified is not None:
        return f"paused after a wrong hit: {needed} right checks resume it"
    return f"{needed} more checks without an error are needed" if checks else "nothing was checked yet"


@dataclass(slots=True, kw_only=True)
class Certifying:
    """Looks at every tier's verdicts and publishes what follows."""

    store: Client
    redis: Memory

    def tick(self, known: Sequence[Tier], now: int) -> list[Event]:
        """Decide for each tier; returns the events written."""
        told: list[Event] = []
        for tier in known:
            told += self._look(tier, now)
        return told

    def _look(self, tier: Tier, now: int) -> list[Event]:
        evidence, changed = self.collected(tier, now - SETTLE_NS)
        before = self._before(tier)
        if not changed and before.group == tier.group and before.allowed == tier.semantic.max_wrong_hits:
            return self._history(tier, before, now) if self.redis.get(_due_key(tier)) else []
        after = decided(evidence, now)
        if after.state == before.state and before.since:
            after = replace(after, since=before.since)
        told = _events(tier, before, after, evidence, now)
        if told:
            insert_events(self.store, told)  # the events first, because they are the truth
        publish(self.redis, tier.project, tier.route, after)
        self.redis.set(evidence_key(tier.project, tier.route), evidence.to_json())
        return told + self._history(tier, after, now)

    def published(self, tier: Tier) -> TierState:
        """What gateways obey now."""
        return published(self.redis, tier.project, tier.route)

    def _before(self, tier: Tier) -> TierState:
        """The published state; where Redis forgot it, whether the trail says that it was open."""
        known = self.published(tier)
        if known.group:
            return known
        told = last_states(self.store, project=tier.project, kind="cache")
        last = max((row for row in told if row.subject == tier.route), key=lambda row: row.time, default=None)
        return replace(known, state="open", since=last.time) if last and last.state in _OPEN else known

    def collected(self, tier: Tier, until: int) -> tuple[Evidence, bool]:
        """The evidence with all verdicts made until then, and whether there were new ones."""
        evidence = self._kept(tier)
        if evidence is not None:
            fresh = verdicts(
                self.store,
                project=tier.project,
                group=tier.group,
                after=evidence.cursor,
                until=until,
                oldest=oldest_call(tier, until),
            )
            if not any(is_person(verdict) for verdict in fresh):
                evidence.add(fresh, max(until, evidence.cursor) if fresh else evidence.cursor)
                return evidence, bool(fresh)
        everything = verdicts(
            self.store,
            project=tier.project,
            group=tier.group,
            after=0,
            until=until,
            oldest=oldest_call(tier, until),
        )
        return rebuilt(tier, everything, until), True

    def _kept(self, tier: Tier) -> Evidence | None:
        text = self.redis.get(evidence_key(tier.project, tier.route))
        if text:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return restored(tier, text)
        return None

    def _history(self, tier: Tier, state: TierState, now: int) -> list[Event]:
        """A point of the bound's history, at most one a minute; the last of many changes is told then."""
        key = f"spanledger:cache:history:{tier.project}:{tier.route}"
        if not self.redis.set(key, now, ex=HISTORY_NS // SECOND, nx=True):
            self.redis.set(_due_key(tier), 1)
            return []
        point = [_event(tier, state, "measured", now)]
        insert_events(self.store, point)
        self.redis.delete(_due_key(tier))
        return point


def _due_key(tier: Tier) -> str:
    return f"spanledger:cache:history-due:{tier.project}:{tier.route}"


_OPEN = ("opened", "tightened", "loosened")
_TITLES = {
    "opened": "Semantic cache of {} opened",
    "closed": "Semantic cache of {} closed",
    "paused": "Semantic cache of {} paused after a wrong hit",
    "tightened": "Semantic cache of {} serves fewer hits",
    "loosened": "Semantic cache of {} serves more hits",
    "measured": "Wrong-hit bound of {} measured",
}


def step(before: TierState, after: TierState) -> str:
    """What happened between two states; empty for nothing to tell."""
    if before.state != after.state:
        if after.state == "open":
            return "opened"
        return "paused" if after.certified > 0 else "closed"
    if before.state == "closed":
        return "closed" if before.certified > 0 and not after.certified else ""
    if before.group and after.threshold != before.threshold:
        return "tightened" if after.threshold > before.threshold else "loosened"
    return ""


def _events(tier: Tier, before: TierState, after: TierState, evidence: Evidence, now: int) -> list[Event]:
    what = step(before, after)
    if not what:
        return []
    told = [_event(tier, after, what, now, judge=evidence.judge.labels)]
    if what == "closed" or (what == "opened" and not before.certified):
        told.append(_alert(tier, after, firing=what == "closed", now=now))
    return told


def _event(tier: Tier, state: TierState, what: str, now: int, **more: object) -> Event:
    return event(
        "cache_bound" if what == "measured" else "cache",
        project=tier.project,
        subject=tier.route,
        time=now,
        title=_TITLES[what].format(tier.route),
        message=_message(state),
        severity="warning" if what == "closed" else "info",
        state=what,
        evidence={**_evidence(state), **more},
    )


def _alert(tier: Tier, state: TierState, *, firing: bool, now: int) -> Event:
    return event(
        "alert",
        project=tier.project,
        subject=tier.route,
        time=now,
        title=_TITLES["closed" if firing else "opened"].format(tier.route),
        message=_message(state),
        severity="warning" if firing else "info",
        state="firing" if firing else "resolved",
        dedup_key=f"cache:{tier.route}",
        evidence=_evidence(state),
    )


def _message(state: TierState) -> str:
    return (
        f"{state.reason}; at most {state.bound:.2%} of hits wrong with 95 % confidence ({state.allowed:.2%} allowed),"
        f" {state.wrong} of {state.checks} checks wrong"
    )


def _evidence(state: TierState) -> dict[str, Any]:
    names = (
        "threshold",
        "certified",
        "bound",
        "allowed",
        "checks",
        "wrong",
        "needed",
        "audit_share",
        "unjudged",
        "group",
    )
    told: dict[str, Any] = {name: getattr(state, name) for name in names}
    return told | {"apart": dict(state.apart), "open": state.state == "open"}
