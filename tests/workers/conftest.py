"""What worker tests share: application calls as rows, documents, and a running worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spanledger.records import CallRecord
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from tests.stores import Store

SECOND = 1_000_000_000


class World:
    """The store as an application and an administrator fill it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._made = 0

    def document(self, kind: str, name: str, document: dict[str, Any], project: str = "shop") -> None:
        """Store a registry document."""
        Registry(self.client).put(project, Draft(kind=kind, name=name, document=document), "test")

    def rag_call(
        self,
        *,
        question: str = "When was the tower built?",
        answer: str = "The tower was built in 1889.",
        contexts: Sequence[str] = ("The tower was built in 1889 by engineers.",),
        upstream: str = "openai",
        model: str = "gpt-4o",
        route: str = "answers",
        start: int | None = None,
        cost: str | None = "0.001",
        project: str = "shop",
        **more: Any,
    ) -> tuple[bytes, bytes]:
        """One trace of a retrieval and a billable call; returns the call's ids."""
        self._made += 1
        trace = self._made.to_bytes(16)
        begin = time.time_ns() if start is None else start
        retrieval = CallRecord(
            project=project,
            trace_id=trace,
            span_id=b"retrieve",
            start_time=begin - SECOND // 10,
            duration_ns=SECOND // 20,
            name="retrieve",
            operation="retrieval",
            documents=json.dumps([{"id": str(n), "content": text} for n, text in enumerate(contexts)]),
        )
        call: dict[str, Any] = {
            "project": project,
            "trace_id": trace,
            "span_id": b"callcall",
            "start_time": begin,
            "duration_ns": SECOND // 2,
            "name": "chat",
            "operation": "chat",
            "kind": "client",
            "billable": True,
            "route": route,
            "upstream": upstream,
            "request_model": model,
            "cost_total": None if cost is None else Decimal(cost),
            "input": json.dumps([message("user", question)]),
            "output": json.dumps([message("assistant", answer)]),
        }
        spans = [CallRecord(**(call | more))]
        self.insert([retrieval, *spans] if contexts else spans)
        return trace, b"callcall"

    def insert(self, rows: Sequence[CallRecord], inserted_at: int | None = None) -> None:
        """Write spans; ``inserted_at`` (ns) says when that was, for tests with a clock of their own."""
        names = [entry.name for entry in fields(CallRecord)]
        values = [[getattr(row, n) for n in names] for row in rows]
        if inserted_at is not None:
            stamp = datetime.fromtimestamp(inserted_at // 10**6 / 1e3, UTC)
            names, values = [*names, "inserted_at"], [[*row, stamp] for row in values]
        self.client.insert("spans", values, column_names=names)

    def call(self, **more: Any) -> CallRecord:
        """One billable answer of the route ``answers``, not stored yet."""
        self._made += 1
        given: dict[str, Any] = {
            "project": "shop",
            "trace_id": self._made.to_bytes(16),
            "span_id": b"callcall",
            "start_time": time.time_ns(),
            "duration_ns": SECOND // 2,
            "name": "chat",
            "operation": "chat",
            "kind": "client",
            "billable": True,
            "route": "answers",
            "upstream": "openai",
            "request_model": "gpt-4o",
            "attempt": 1,
            "cost_total": Decimal("0.001"),
        }
        return CallRecord(**(given | more))

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The answer to a query."""
        return list(self.client.query(query).named_results())

    def await_rows(self, query: str, enough: Callable[[list[dict[str, Any]]], bool], within_s: float = 120):
        """The answer once it is enough."""
        deadline = time.monotonic() + within_s
        while True:
            rows = self.rows(query)
            if enough(rows) or time.monotonic() > deadline:
                assert enough(rows), rows
                return rows
            time.sleep(0.2)


def message(role: str, text: str) -> dict[str, Any]:
    """A message in the recorded schema."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


@pytest.fixture
def world(store: Store) -> World:
    return World(store.client)
