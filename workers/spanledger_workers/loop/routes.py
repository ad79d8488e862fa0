"""Route state at rest: read from Redis (or, when Redis forgot, from the events), changed, announced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import (
    LastState,
    TimedScore,
    last_states,
    scores_since,
    switches_since,
)
from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.clock import DAY, SECOND
from spanledger_workers.memory import Memory, Value

from .decision import Decision, RouteState, begin, decide, has_fallback, only_primary, signature
from .evidence import Evidence

CHANGES = "spanledger:changes"
SETTLE_NS = 3 * SECOND  # another worker's scores become visible after the time they are stamped with
LOOK_BACK_NS = 7 * DAY  # how far back scores count when Redis forgot
PAGE = 5000


def route_key(project: str, route: str) -> str:
    """The Redis key of a route's state."""
    return f"spanledger:route:{project}:{route}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One route and the rule it is held to."""

    project: str
    name: str
    route: Route
    rule: QualityRule


def watches(routes: Sequence[tuple[str, str, Route]]) -> list[Watch]:
    """The routes (project, name, document) that have a quality rule."""
    return [
        Watch(project=project, name=name, route=route, rule=route.quality)
        for project, name, route in routes
        if route.quality is not None
    ]


@dataclass(slots=True, kw_only=True)
class Loop:
    """Looks at every watched route and moves it when its primary's scores call for it."""

    store: Client
    redis: Memory
    canary: float

    def tick(self, watched: Sequence[Watch], now: int) -> list[Event]:
        """Decide for each route; returns the events written."""
        told: list[Event] = []
        for project in sorted({watch.project for watch in watched}):
            switches = last_states(self.store, project=project, kind="route_switch")
            alerts = last_states(self.store, project=project, kind="alert")
            for watch in watched:
                if watch.project == project:
                    told += self._look(
                        watch, _by_subject(switches), {row.dedup_key: row for row in alerts}, now
                    )
        return told

    def _look(
        self, watch: Watch, switches: dict[str, LastState], alerts: dict[str, LastState], now: int
    ) -> list[Event]:
        firing = _firing(alerts.get(_alert_key(watch)))
        moves = has_fallback(watch.route) and watch.rule.mode != "dry_run"
        if moves:
            state = self._state(watch, switches.get(watch.name))
        else:  # an alert that fires stands for the state
            state = RouteState(state="fallback", since=firing.time) if firing else RouteState()
        evidence = self._collected(watch, state, now)
        today = switches_since(self.store, project=watch.project, route=watch.name, since=now - DAY)
        decision = decide(state, watch.rule, evidence, now=now, switches_today=today)
        if decision is None:
            return []
        if not moves:
            why = "this is a dry run" if watch.rule.mode == "dry_run" else "it has no fallback"
            return self._tell([_alert(watch, decision, now, note=f" (the route stays: {why})")])
        return self._switch(watch, decision, now)

    def _collected(self, watch: Watch, state: RouteState, now: int) -> Evidence:
        """The evidence so far with the scores made since the last look; kept in Redis, or collected afresh."""
        key = f"spanledger:loop:{watch.project}:{watch.name}"
        evidence = begin(state, watch.rule)
        kept = self.redis.get(key)
        if kept:
            try:
                stored = Evidence.from_json(kept)
            except (ValueError, KeyError, TypeError):
                stored = evidence
            if stored.signature == signature(state, watch.rule):
                evidence = stored
        until = now - SETTLE_NS
        first = max(evidence.since, now - LOOK_BACK_NS)
        while True:
            scores = scores_since(
                self.store,
                project=watch.project,
                name=watch.rule.score,
                route=watch.name,
                since=first,
                after=max(evidence.cursor, first),
                until=until,
                limit=PAGE,
            )
            last = len(scores) < PAGE
            scores, cursor = (scores, until) if last else whole_moments(scores)
            evidence = evidence.with_scores(only_primary(watch.route, scores), max(cursor, evidence.cursor))
            if last:
                break
        self.redis.set(key, evidence.to_json())
        return evidence

    def _switch(self, watch: Watch, decision: Decision, now: int) -> list[Event]:
        """The events first, because they are the truth; then the state that gateways obey."""
        switch = _switch_event(watch, decision, now)
        told = self._tell([switch, _alert(watch, decision, now)])
        fallback = decision.to == "fallback"
        state = RouteState(
            state=decision.to,
            since=now,
            reason=decision.reason,
            event_id=switch.event_id,
            canary=self.canary if fallback else 0.0,
        )
        self._store_state(watch, state)
        return told

    def _tell(self, events: list[Event]) -> list[Event]:
        insert_events(self.store, events)
        return events

    def _state(self, watch: Watch, last: LastState | None) -> RouteState:
        known = self.redis.hgetall(route_key(watch.project, watch.name))
        if known.get("state") in ("primary", "fallback"):
            return RouteState(
                state="fallback" if known["state"] == "fallback" else "primary",
                since=int(known.get("since") or 0),
                reason=known.get("reason", ""),
                event_id=known.get("event_id", ""),
                canary=float(known.get("canary") or 0),
            )
        if last is None:
            return RouteState()
        fallback = last.state == "fallback"
        rebuilt = RouteState(
            state="fallback" if fallback else "primary",
            since=last.time,
            reason=last.message,
            event_id=last.event_id,
            canary=self.canary if fallback else 0.0,
        )
        self._store_state(watch, rebuilt)
        return rebuilt

    def _store_state(self, watch: Watch, state: RouteState) -> None:
        values: dict[str, Value] = {
            "state": state.state,
            "canary": state.canary,
            "reason": state.reason,
            "since": state.since,
            "event_id": state.event_id,
        }
        self.redis.hset(route_key(watch.project, watch.name), mapping=values)
        message = {"kind": "route", "project": watch.project, "name": watch.name}
        self.redis.publish(CHANGES, json.dumps(message))


def whole_moments(page: list[TimedScore]) -> tuple[list[TimedScore], int]:
    """A full page without its last moment, whose other scores may stand on the next; and where to go on."""
    end = page[-1].created_at
    if page[0].created_at == end:  # one moment fills it: take it as it is
        return page, end
    kept = [score for score in page if score.created_at < end]
    return kept, kept[-1].created_at


def _switch_event(watch: Watch, decision: Decision, now: int) -> Event:
    fallback = decision.to == "fallback"
    where = "its fallback" if fallback else "its primary again"
    return event(
        "route_switch",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=f"{watch.name} now answers from {where}",
        message=decision.reason,
        severity="warning" if fallback else "info",
        state=decision.to,
        evidence=_evidence(watch, decision),
    )


def _alert(watch: Watch, decision: Decision, now: int, note: str = "") -> Event:
    firing = decision.to == "fallback"
    return event(
        "alert",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=f"Quality of {watch.name} " + ("fell below its floor" if firing else "recovered"),
        message=decision.reason + note,
        severity="critical" if firing else "info",
        state="firing" if firing else "resolved",
        dedup_key=_alert_key(watch),
        evidence=_evidence(watch, decision),
    )


def _alert_key(watch: Watch) -> str:
    return f"quality:{watch.name}:{watch.rule.score}"


def _evidence(watch: Watch, decision: Decision) -> dict[str, object]:
    return {
        "score": watch.rule.score,
        "samples": decision.samples,
        "mean": None if decision.mean is None else round(decision.mean, 6),
        "floor": decision.floor,
        "e_value": None if decision.e_value is None else round(decision.e_value, 3),
        "alpha": watch.rule.alpha,
    }


def _firing(last: LastState | None) -> LastState | None:
    return last if last is not None and last.state == "firing" else None


def _by_subject(rows: Sequence[LastState]) -> dict[str, LastState]:
    found: dict[str, LastState] = {}
    for row in rows:
        if row.subject not in found or found[row.subject].time < row.time:
            found[row.subject] = row
    return found
