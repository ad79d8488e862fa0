"""Rows for tests: records with few fields given, written as they are."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.store.clickhouse import Client

NOON = 1_790_000_000_000_000_000
"""A fixed moment, in nanoseconds."""


def call(number: int, project: str = "p", **more: Any) -> CallRecord:
    """A priced chat call: its own trace, one second after call ``number - 1``."""
    given: dict[str, Any] = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "start_time": NOON + number * 10**9,
        "duration_ns": 10**9,
        "name": "chat gpt-4o",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o",
        "billable": True,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_total": Decimal("0.001"),
    }
    return CallRecord(project=project, **(given | more))


def score(number: int, project: str = "p", **more: Any) -> Score:
    """A verdict about call ``number``."""
    given: dict[str, Any] = {
        "score_id": f"score-{number}",
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "name": "groundedness",
        "value": 0.5,
        "time": NOON + number * 10**9,
        "created_at": NOON,
    }
    return Score(project=project, **(given | more))


def event(number: int, project: str = "p", **more: Any) -> Event:
    """An alert, one second after event ``number - 1``."""
    given: dict[str, Any] = {
        "event_id": f"event-{number}",
        "time": NOON + number * 10**9,
        "kind": "alert",
        "subject": "route r",
        "title": "quality fell",
    }
    return Event(project=project, **(given | more))


TABLES: dict[type, str] = {CallRecord: "spans", Score: "scores", Event: "events"}


def insert(client: Client, *rows: CallRecord | Score | Event) -> None:
    """Write rows into their tables."""
    for kind, table in TABLES.items():
        mine = [row for row in rows if type(row) is kind]
        if mine:
            names = [entry.name for entry in fields(kind)]
            client.insert(table, [[getattr(row, name) for name in names] for row in mine], column_names=names)
