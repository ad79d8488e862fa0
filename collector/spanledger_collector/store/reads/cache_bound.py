"""Where the semantic tiers stand and how their bounds came about, from the trail that workers write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .asking import Client, Row, ask, statement
from .window import IN_TIME, Window

_STEPS = ("opened", "tightened", "loosened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One tier at one moment (ns). Shares 0..1, similarities as cosines; ``bound`` None where it was not told."""

    route: str
    time: int
    state: str  # opened, loosened, tightened, paused, closed, measured
    message: str
    is_open: bool
    threshold: float
    bound: float | None
    allowed: float
    checks: int
    wrong: int
    needed: int
    unjudged: int
    audit_share: float


_COLUMNS = """subject AS route, toUnixTimestamp64Nano(events.time) AS time, state, message, evidence
FROM events FINAL WHERE project = {project:String} AND kind IN ('cache', 'cache_bound')"""


def standings(client: Client, project: str) -> list[Standing]:
    """The newest of every route, by name."""
    sql = statement("SELECT", _COLUMNS, "ORDER BY events.time DESC, kind DESC LIMIT 1 BY subject")
    found = [_standing(row) for row in ask(client, sql, {"project": project})]
    return sorted(found, key=lambda standing: standing.route)


def history(client: Client, project: str, window: Window, limit: int = 5000) -> list[Standing]:
    """All that was told in the window, oldest first."""
    sql = statement(
        "SELECT", _COLUMNS, "AND", IN_TIME.replace("time ", "events.time "),
        "ORDER BY events.time, kind LIMIT {limit:UInt32}",
    )  # fmt: skip
    return [
        _standing(row) for row in ask(client, sql, {"project": project, "limit": limit, **window.bound()})
    ]


def _standing(row: Row) -> Standing:
    told = _told(row["evidence"])
    return Standing(
        route=row["route"],
        time=int(row["time"]),
        state=row["state"],
        message=row["message"],
        is_open=bool(told.get("open", row["state"] in _STEPS)),
        threshold=float(told.get("threshold", 1.0)),
        bound=float(told["bound"]) if "bound" in told else None,
        allowed=float(told.get("allowed", 0.0)),
        checks=int(told.get("checks", 0)),
        wrong=int(told.get("wrong", 0)),
        needed=int(told.get("needed", 0)),
        unjudged=int(told.get("unjudged", 0)),
        audit_share=float(told.get("audit_share", 1.0)),
    )


def _told(evidence: str) -> Mapping[str, Any]:
    try:
        read: object = json.loads(evidence)
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", read) if isinstance(read, dict) else {}
