"""Events of the audit trail, made with deterministic ids and told once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from spanledger.records import Event, EventKind, Severity
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import known_events
from spanledger_collector.store.writes_evaluation import insert_events

from .identity import identify


def event(
    kind: EventKind,
    *,
    project: str,
    subject: str,
    time: int,
    title: str,
    message: str = "",
    severity: Severity = "info",
    state: str = "",
    dedup_key: str = "",
    evidence: dict[str, Any] | None = None,
    identity: Sequence[object] = (),
) -> Event:
    """An event by ``worker``; ``identity`` (default: kind, subject, state, time) decides its id."""
    return Event(
        project=project,
        event_id=identify("event", project, *(identity or (kind, subject, state, dedup_key, time))),
        time=time,
        kind=kind,
        severity=severity,
        subject=subject,
        title=title,
        message=message,
        evidence=json.dumps(evidence, default=str, sort_keys=True) if evidence else "",
        dedup_key=dedup_key,
        state=state,
        author="worker",
    )


def tell_once(store: Client, project: str, events: Sequence[Event]) -> list[Event]:
    """Write those events whose id is not there yet, and return them."""
    if not events:
        return []
    known = known_events(store, project=project, event_ids=[entry.event_id for entry in events])
    fresh = [entry for entry in events if entry.event_id not in known]
    insert_events(store, fresh)
    return fresh
