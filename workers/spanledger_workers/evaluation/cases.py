"""The spans of a trace and one call in; the case that scorers judge out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from spanledger_collector.store.reads.evaluation import MODEL_OPERATIONS, TraceSpan
from spanledger_evaluators.contract import Case, Document, Turn

_FACTS = (
    "duration_ns",
    "ttft_ns",
    "cost_total",
    "input_tokens",
    "output_tokens",
    "start_time",
    "request_model",
    "route",
    "upstream",
)


def case_of(call: TraceSpan, trace: Sequence[TraceSpan]) -> Case:
    """The call's last question and answer, with every document retrieved in its trace before it."""
    told = _content(call, trace)
    turns = tuple(_turns(told.input))
    asked = [turn.content for turn in turns if turn.role == "user"]
    answered = [turn.content for turn in _turns(told.output)]
    return Case(
        id=f"{call.trace_id}:{call.span_id}",
        question=asked[-1] if asked else "",
        answer="\n".join(answered) if answered else "",
        documents=tuple(documents_before(call, trace)),
        turns=turns,
        metadata={name: getattr(call, name) for name in _FACTS},
    )


def documents_before(call: TraceSpan, trace: Iterable[TraceSpan]) -> list[Document]:
    """Documents of spans that started no later than the call, each text once, in order of retrieval."""
    found: dict[str, Document] = {}
    for span in trace:
        if not span.documents or span.start_time > call.start_time:
            continue
        for entry in _objects(span.documents):
            document = _document(entry)
            if document.content:
                found.setdefault(document.content, document)
    return list(found.values())


def _content(call: TraceSpan, trace: Sequence[TraceSpan]) -> TraceSpan:
    """The span that holds the call's text: itself, or the nearest model span above or below it."""
    if call.output:
        return call
    by_id = {span.span_id: span for span in trace}
    above = by_id.get(call.parent_span_id)
    while above is not None:
        if above.output and above.operation in MODEL_OPERATIONS:
            return above
        above = by_id.get(above.parent_span_id)
    below = [span for span in trace if span.parent_span_id == call.span_id and span.output]
    return next((span for span in below if span.operation in MODEL_OPERATIONS), call)


def _turns(text: str) -> list[Turn]:
    """Messages in the recorded schema, ``{"role", "parts": [{"type": "text", "content"}]}``, as turns."""
    return [
        Turn(role=str(message.get("role") or ""), content=content)
        for message in _objects(text)
        if (content := _text(message))
    ]


def _text(message: dict[str, Any]) -> str:
    parts = message.get("parts")
    if not isinstance(parts, list):
        content = message.get("content")
        return content if isinstance(content, str) else ""
    entries = cast("list[dict[str, Any]]", parts)
    texts = [str(part.get("content") or "") for part in entries if part.get("type", "text") == "text"]
    return "\n".join(text for text in texts if text)


def _document(entry: dict[str, Any]) -> Document:
    score = entry.get("score")
    return Document(
        content=str(entry.get("content") or ""),
        id=str(entry.get("id") or ""),
        source=str(entry.get("source") or ""),
        score=float(score) if isinstance(score, int | float) else None,
        updated_at=_time(entry.get("updated_at")),
        indexed_at=_time(entry.get("indexed_at")),
        version=str(entry.get("version") or ""),
        superseded_by=str(entry.get("superseded_by") or ""),
    )


def _time(value: object) -> int | None:
    """Nanoseconds; accepts them as a number, or ISO 8601 (UTC where no zone is named)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value)
    return _iso_ns(str(value))


def _iso_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) * 1_000


def _objects(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON list; a single object counts as one, anything else as none."""
    try:
        data: Any = json.loads(text) if text else []
    except ValueError:
        return []
    entries = cast("list[Any]", data) if isinstance(data, list) else [data]
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
