"""Accepted OTLP log requests of one tenant in; GenAI events as contents of spans and as scores out.

Instrumentations may keep prompts and answers out of spans and tell them as log events instead. A span is
stored once and never changed, so a content event that comes in one batch with its span is put into the span's
row, and any other becomes a row of its own below it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from . import content, evaluations
from .attributes import Value, any_value
from .facts import Facts
from .rows import Batch, Row, Span, SpanKey, Tenancy
from .tenant import resource_row, set_tenant
from .wire import event_name, is_genai, valid_ids


@dataclass(slots=True)
class Told:
    """What log events told about one span: facts for its content columns."""

    row: Row
    time: int
    facts: dict[str, Value]


def normalise_logs(body: bytes, tenancy: Tenancy, batch: Batch) -> None:
    """Add what a log request tells: scores, and contents to the batch's spans or as rows of their own.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no log request.
    """
    told: dict[SpanKey, Told] = {}
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        base = resource_row(_pairs(resource.resource.attributes), tenancy)
        for scope in resource.scope_logs:
            scoped = {**base, "scope": scope.scope.name} if scope.scope.name else base
            for record in scope.log_records:
                if is_genai(record) and valid_ids(record.trace_id, record.span_id):
                    _add(record, scoped, tenancy, told, batch)
    for key, contents in told.items():
        batch.contents[key] = contents.facts
        batch.content_rows[key] = _child(contents)


def merge_contents(batch: Batch) -> None:
    """Put contents into spans of the same batch that have none; the others become rows below their spans."""
    for span in batch.spans:
        row = span.row
        facts = batch.contents.pop((row["project"], row["trace_id"], row["span_id"]), None)
        if facts is not None:
            _fill(row, facts)
    for key in batch.contents:
        batch.spans.append(Span(batch.content_rows[key], None))
    batch.contents.clear()


def _add(record: LogRecord, base: Row, tenancy: Tenancy, told: dict[SpanKey, Told], batch: Batch) -> None:
    name, time = (
        event_name(record),
        record.time_unix_nano or record.observed_time_unix_nano or tenancy.received_at,
    )
    attributes = _pairs(record.attributes)
    body = any_value(record.body)
    row = dict(base)
    facts = _read(attributes, row, tenancy)
    row.update(trace_id=record.trace_id, span_id=record.span_id, start_time=time)
    if name == evaluations.EVENT:
        score = evaluations.score_row(attributes, row, tenancy.received_at)
        if score is not None:
            batch.scores.append(score)
        return
    kept = told.setdefault((row["project"], record.trace_id, record.span_id), Told(row, time, facts))
    content.take_event(name, _with_body(attributes, body), kept.facts)


def _with_body(attributes: dict[str, Value], body: Value) -> dict[str, Value]:
    """An event's facts stand in its body's fields, or its body is the message itself, or they are attributes."""
    if isinstance(body, dict):
        return {**attributes, **cast(dict[str, Value], body)}
    return {"content": body, **attributes} if isinstance(body, str) and body else attributes


def _read(attributes: dict[str, Value], row: Row, tenancy: Tenancy) -> dict[str, Value]:
    """Set the columns that these attributes fill; the answer is every fact they tell."""
    told = Facts(row)
    told.read_pairs(attributes)
    set_tenant(told.facts, row, tenancy)
    return told.facts


def _fill(row: Row, facts: dict[str, Value]) -> None:
    if "input" not in row and (found := content.input_text(facts, {}, is_model=True)):
        row["input"] = found
    if "output" not in row and (found := content.output_text(facts, {}, is_model=True)):
        row["output"] = found


def _child(told: Told) -> Row:
    """A row below the span: its id follows from the span's, so telling it again changes nothing."""
    row = dict(told.row)
    row["parent_span_id"] = row["span_id"]
    row["span_id"] = hashlib.sha256(b"content" + row["trace_id"] + row["span_id"]).digest()[:8]
    row["name"], row["duration_ns"], row["status"] = "content", 0, "ok"
    row.pop("operation", None)  # the call is told by its span
    _fill(row, told.facts)
    return row


def _pairs(attributes: Any) -> dict[str, Value]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: any_value(pair.value) for pair in pairs}
