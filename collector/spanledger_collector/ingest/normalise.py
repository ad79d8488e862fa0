"""Accepted OTLP bytes of one tenant in; rows for ``spans`` and ``scores`` out. No I/O, no price, no verdict on billing."""

from __future__ import annotations

from collections.abc import Sequence

from . import content, derived, evaluations, slim, values
from .attributes import Value, decode_all, text
from .dialects import TABLE
from .facts import Facts
from .rows import Batch, Row, Span, Tenancy
from .tenant import resource_row, set_tenant
from .usage import buckets
from .wire import valid_ids

_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
_NO_SPAN = bytes(8)
_DAY_NS = 86_400 * 10**9
_OLDEST_NS, _AHEAD_NS = 10 * 366 * _DAY_NS, _DAY_NS

_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)


def normalise(body: bytes, tenancy: Tenancy, into: Batch) -> None:
    """Add every span and score of one inflated request to ``into``.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no trace request.
    """
    for resource in slim.parse(body).resource_spans:
        base = resource_row(decode_all(resource.resource.attributes), tenancy)
        for scope in resource.scope_spans:
            name = scope.scope.name.decode("utf-8", "replace")
            scoped = {**base, "scope": name} if name else base
            for span in scope.spans:
                if not valid_ids(span.trace_id, span.span_id):
                    into.rejected += 1
                    continue
                try:
                    _add(span, scoped, tenancy, into)
                except _FAULTS as fault:  # of ours; the other spans of the request are none the worse for it
                    into.faults.append((tenancy.project, repr(fault), span.SerializeToString()))


def _add(span: slim.Span, base: Row, tenancy: Tenancy, into: Batch) -> None:
    row = _identified(span, base)
    told = Facts(row)
    facts = told.facts
    row["dialect"] = dialect = TABLE.dialect(told.read(span.attributes), row.get("scope", ""))
    if dialect == "mlflow":
        told.unquote()
    derived.read_raw_answer(told)
    clamped = not _set_times(span, row, tenancy.received_at)
    if clamped:
        told.extra["spanledger.original_start_time"] = str(span.start)
        into.clamped += 1
    scores = _read_events(span.events, told) if span.events else []
    set_tenant(facts, row, tenancy)
    derived.set_provider(row, dialect)
    derived.set_from_json(told)
    usage = buckets(facts)
    derived.set_operation(facts, row, usage)
    derived.set_durations(facts, row)
    _set_status(span.status, row)
    derived.set_usage(usage, row)
    derived.set_content(facts, told.groups, row)
    if span.links:
        row["links"] = _links(span.links)
    if told.extra:
        row["attributes"] = told.extra
    for attributes in scores:
        score = evaluations.score_row(attributes, row, tenancy.received_at)
        if score is not None:
            into.scores.append(score)
    billable, reason = values.flag(facts.get("told.billable")), text(facts.get("told.billable_reason"))
    if dialect == "logfire" and derived.is_told_by_its_stream(facts, row, usage):
        billable, reason = False, "told_by_its_stream"
    into.spans.append(Span(row, usage, billable, reason, clamped))


def _identified(span: slim.Span, base: Row) -> Row:
    row = dict(base)
    row["trace_id"], row["span_id"] = span.trace_id, span.span_id
    row["name"] = span.name.decode("utf-8", "replace")
    row["kind"] = _KINDS[span.kind] if 0 <= span.kind < 6 else "internal"
    parent = span.parent_span_id
    if len(parent) == 8 and parent != _NO_SPAN:
        row["parent_span_id"] = parent
    return row


def _set_times(span: slim.Span, row: Row, received_at: int) -> bool:
    """Start and duration; a start nobody can mean becomes the time of arrival, and the answer is False."""
    start, end = span.start or span.end, span.end
    sane = received_at - _OLDEST_NS <= start <= received_at + _AHEAD_NS
    row["start_time"] = start if sane else received_at
    row["duration_ns"] = end - start if 0 <= end - start < 1 << 63 else 0
    return sane


def _set_status(status: slim.Status, row: Row) -> None:
    if "status" not in row:
        row["status"] = "error" if status.code == 2 else "ok"
    if status.message and "status_message" not in row:
        row["status_message"] = status.message.decode("utf-8", "replace")


def _read_events(events: Sequence[slim.Event], told: Facts) -> list[dict[str, Value]]:
    """Take content, errors and first tokens out of events; keep the others; answer with the evaluations."""
    scores: list[dict[str, Value]] = []
    kept: list[tuple[int, str, dict[str, Value]]] = []
    row = told.row
    for event in events:
        name = event.name.decode("utf-8", "replace")
        attributes = decode_all(event.attributes)
        if name == evaluations.EVENT:
            scores.append(attributes)
        elif not content.take_event(name, attributes, told.facts):
            kept.append((event.time, name, attributes))
            if name == "exception":
                told.set("error_type", attributes.get("exception.type"))
                told.set("status_message", attributes.get("exception.message"))
            elif name == "First Token Stream Event" and event.time >= row["start_time"]:
                row.setdefault("ttft_ns", event.time - row["start_time"])
    if kept:
        row["events"] = content.events_text(kept)
    return scores


def _links(links: Sequence[slim.Link]) -> str:
    found = [
        {
            "trace_id": link.trace_id.hex(),
            "span_id": link.span_id.hex(),
            "attributes": {key: text(value) for key, value in decode_all(link.attributes).items()},
        }
        for link in links
    ]
    return content.dump(found)
