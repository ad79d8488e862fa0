"""Route states at rest: in Redis, where gateways obey them; from the events when Redis forgot; announced when changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from spanledger_collector.store.reads.evaluation import LastState
from spanledger_workers.memory import Memory, Value

from .decision import RouteState

CHANGES = "spanledger:changes"


def route_key(project: str, route: str) -> str:
    """The Redis key of a route's state."""
    return f"spanledger:route:{project}:{route}"


@dataclass(slots=True, kw_only=True)
class RouteStates:
    """Reads and writes the states."""

    redis: Memory

    def read(self, project: str, route: str, last: LastState | None, canary: float) -> RouteState:
        """The state that gateways obey. Where Redis has none, what ``last``, the newest switch, says, written back."""
        known = self.redis.hgetall(route_key(project, route))
        if known.get("state") in ("primary", "fallback"):
            return RouteState(
                state="fallback" if known["state"] == "fallback" else "primary",
                since=int(known.get("since") or 0),
                reason=known.get("reason", ""),
                event_id=known.get("event_id", ""),
                canary=float(known.get("canary") or 0),
                metric=known.get("metric", ""),
            )
        if last is None:
            return RouteState()
        fallback = last.state == "fallback"
        rebuilt = RouteState(
            state="fallback" if fallback else "primary",
            since=last.time,
            reason=last.message,
            event_id=last.event_id,
            canary=canary if fallback else 0.0,
            metric=last.dedup_key,
        )
        self.write(project, route, rebuilt)
        return rebuilt

    def write(self, project: str, route: str, state: RouteState) -> None:
        """Let gateways obey it, and say so."""
        values: dict[str, Value] = {
            "state": state.state,
            "canary": state.canary,
            "reason": state.reason,
            "since": state.since,
            "event_id": state.event_id,
            "metric": state.metric,
        }
        self.redis.hset(route_key(project, route), mapping=values)
        self.redis.publish(CHANGES, json.dumps({"kind": "route", "project": project, "name": route}))
