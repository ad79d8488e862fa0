"""Route state at rest: read from Redis (or, when Redis forgot, from the events), changed, announced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from spanledger.records import Event
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import LastState, last_states, recent_scores
from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.audit import event
from spanledger_workers.memory import Memory, Value

from .decision import Decision, RouteState, decide, has_fallback, look_from, primary_scores

CHANGES = "spanledger:changes"


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
        state = self._state(watch, switches.get(watch.name))
        since = look_from(state, watch.rule, now)
        rows = recent_scores(
            self.store, project=watch.project, name=watch.rule.score, route=watch.name, since=since
        )
        decision = decide(state, watch.rule, primary_scores(watch.route, rows))
        if decision is None:
            return []
        if decision.to == "fallback" and not has_fallback(watch.route):
            firing = alerts.get(_alert_key(watch))
            return [] if firing and firing.state == "firing" else self._tell([_alert(watch, decision, now)])
        return self._switch(watch, decision, now)

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


def _alert(watch: Watch, decision: Decision, now: int) -> Event:
    firing = decision.to == "fallback"
    return event(
        "alert",
        project=watch.project,
        subject=watch.name,
        time=now,
        title=f"Quality of {watch.name} " + ("fell below its floor" if firing else "recovered"),
        message=decision.reason,
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
        "mean": round(decision.mean, 6),
        "floor": decision.floor,
        "window_s": watch.rule.window_s,
    }


def _by_subject(rows: Sequence[LastState]) -> dict[str, LastState]:
    found: dict[str, LastState] = {}
    for row in rows:
        if row.subject not in found or found[row.subject].time < row.time:
            found[row.subject] = row
    return found
