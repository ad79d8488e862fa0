"""A regression document, what it depends on and its last verdict in; whether a run is due, and why, out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from spanledger_collector.store.reads.evaluation import LastState
from spanledger_collector.store.registry.evaluation import Regression
from spanledger_collector.store.registry.plan import Version
from spanledger_workers.clock import DAY, HOUR
from spanledger_workers.identity import identify

WEEK = 7 * DAY
_MONDAY = 4 * DAY  # the epoch was a Thursday


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A run to make: ``run_id`` depends on what is tested and when, so that two workers make the same."""

    run_id: str
    why: str
    depends: dict[str, int]
    period: int


def depends_on(document: Regression, current: Mapping[tuple[str, str], Version]) -> dict[str, int]:
    """Versions of everything that answers: the route, its upstreams, the prompt's release and the dataset.

    ``current`` holds the newest documents the project sees, by kind and name. A prompt's label stands for one version.
    """
    found: dict[str, int] = {}

    def note(kind: str, name: str) -> Version | None:
        row = current.get((kind, name))
        if row is not None:
            found[f"{kind} {name}"] = row.version
        return row

    note("dataset", document.dataset)
    route = note("route", document.route)
    for target in route.document["targets"] if route is not None else ():
        note("upstream", str(target["upstream"]))
    if document.prompt:
        name, _, label = document.prompt.partition("@")
        prompt = note("prompt", name)
        if prompt is not None:
            labels: dict[str, int] = prompt.document.get("labels") or {}
            pinned = int(label) if label.isdecimal() else labels.get(label or "production", prompt.version)
            found[f"prompt {name}"] = pinned
    return found


def due(
    project: str,
    row: Version,
    document: Regression,
    depends: dict[str, int],
    last: LastState | None,
    now: int,
) -> Due | None:
    """The run that is due now, or None; ``last`` is the newest verdict."""
    told = told_by(last)
    number = _period(document, now)
    changed = sorted(
        name for name, version in depends.items() if told.get("depends", {}).get(name) != version
    )
    scheduled = document.every != "none" and told.get("period") != number
    moved = document.on_change and bool(changed)
    if last is not None and not scheduled and not moved:
        return None
    why = f"changed: {', '.join(changed)}" if last and moved else "scheduled" if last else "the first run"
    # With the verdict it follows, so that what is tested again, as after a change taken back, is a run of its own.
    parts = json.dumps([row.version, depends, number, last.event_id if last else ""], sort_keys=True)
    return Due(
        run_id=identify("regression", project, row.name, parts), why=why, depends=depends, period=number
    )


def _period(document: Regression, now: int) -> int:
    shifted = now - document.at_hour * HOUR
    if document.every == "week":
        return (shifted - _MONDAY) // WEEK
    return shifted // DAY if document.every == "day" else 0


def told_by(last: LastState | None) -> dict[str, Any]:
    """The evidence of a verdict; empty for none."""
    try:
        found: Any = json.loads(last.evidence) if last else {}
    except ValueError:
        found = {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
