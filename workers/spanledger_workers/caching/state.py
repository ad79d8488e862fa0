"""A tier's certificate at rest: the Redis hash that gateways obey. Absent or unreadable: closed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spanledger_workers.memory import Memory, Value

CHANGES = "spanledger:changes"


def state_key(project: str, route: str) -> str:
    """The Redis key of a tier's certificate."""
    return f"spanledger:semantic:{project}:{route}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierState:
    """What gateways, pages and ``/metrics`` show. Similarities are cosines, ``since`` ns, shares 0..1.

    ``certified``: the threshold without pauses (0: none); ``audit_share``: which share of hits has to be asked
    again now; ``apart``: thresholds of partitions that stand apart (0: closed); ``unjudged``: checks without a verdict.
    """

    state: Literal["closed", "open"] = "closed"
    threshold: float = 1.0
    certified: float = 0.0
    bound: float = 1.0
    allowed: float = 0.0
    checks: int = 0
    wrong: int = 0
    needed: int = 0
    since: int = 0
    reason: str = ""
    group: str = ""
    audit_share: float = 1.0
    unjudged: int = 0
    apart: Mapping[str, float] = field(default_factory=dict[str, float])

    def fields(self) -> dict[str, Value]:
        """As fields of the hash."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"apart": json.dumps(dict(self.apart))}


def read_state(known: Mapping[str, str]) -> TierState:
    """What the hash says; closed where it says nothing sound."""
    try:
        return TierState(
            state="open" if known["state"] == "open" else "closed",
            threshold=float(known["threshold"]),
            certified=float(known["certified"]),
            bound=float(known["bound"]),
            allowed=float(known["allowed"]),
            checks=int(known["checks"]),
            wrong=int(known["wrong"]),
            needed=int(known["needed"]),
            since=int(known["since"]),
            reason=known["reason"],
            group=known["group"],
            audit_share=float(known["audit_share"]),
            unjudged=int(known["unjudged"]),
            apart={str(name): float(value) for name, value in json.loads(known["apart"]).items()},
        )
    except (KeyError, ValueError, AttributeError):
        return TierState()


def published(redis: Memory, project: str, route: str) -> TierState:
    """What gateways obey now; closed where nothing was published."""
    return read_state(redis.hgetall(state_key(project, route)))


def publish(redis: Memory, project: str, route: str, state: TierState) -> None:
    """Write the hash and say so."""
    redis.hset(state_key(project, route), mapping=state.fields())
    redis.publish(CHANGES, json.dumps({"kind": "cache", "project": project, "name": route}))
