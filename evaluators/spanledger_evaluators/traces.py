"""The spans of a trace and one call in; the case that scorers judge out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from spanledger import messages

from .contract import Case, Document, ToolCall, Turn

MODEL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})


class TraceSpan(Protocol):
    """What a case is made of: a stored span with its content; ids in hex, ``start_time`` in ns."""

    @property
    def trace_id(self) -> str: ...  # noqa: D102 -- columns of the record
    @property
    def span_id(self) -> str: ...  # noqa: D102
    @property
    def parent_span_id(self) -> str: ...  # noqa: D102
    @property
    def start_time(self) -> int: ...  # noqa: D102
    @property
    def operation(self) -> str: ...  # noqa: D102
    @property
    def input(self) -> str: ...  # noqa: D102
    @property
    def output(self) -> str: ...  # noqa: D102
    @property
    def documents(self) -> str: ...  # noqa: D102


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
    asked, answered = messages.parse(told.input), messages.parse(told.output)
    return Case(
        id=f"{call.trace_id}:{call.span_id}",
        question=messages.question_of(asked),
        answer=messages.text_of(answered),
        documents=tuple(documents_before(call, trace)),
        turns=tuple(_turns(asked)),
        tools=tuple(_tools(answered)),
        metadata={name: getattr(call, name, None) for name in _FACTS},
    )


def is_whole(call: TraceSpan, trace: Iterable[TraceSpan]) -> bool:
    """Whether every span above the call has arrived, so that what was retrieved for it has, too."""
    by_id = {span.span_id: span for span in trace}
    above: TraceSpan | None = call
    while above is not None and above.parent_span_id:
        above = by_id.pop(above.parent_span_id, None)
    return above is not None


def documents_before(call: TraceSpan, trace: Sequence[TraceSpan]) -> list[Document]:
    """Documents of spans that started no later than the call or belong to it, each text once, in order of retrieval."""
    found: dict[str, Document] = {}
    for span in trace:
        if not span.documents or (span.start_time > call.start_time and not is_below(span, call, trace)):
            continue
        for entry in _objects(span.documents):
            document = _document(entry)
            if document.content:
                found.setdefault(document.content, document)
    return list(found.values())


def is_below(span: TraceSpan, top: TraceSpan, trace: Iterable[TraceSpan]) -> bool:
    """Whether a span descends from another."""
    by_id = {entry.span_id: entry for entry in trace}
    above = by_id.pop(span.parent_span_id, None)
    while (
        above is not None and above.span_id != top.span_id
    ):  # each span once: a malformed trace may go in a circle
        above = by_id.pop(above.parent_span_id, None)
    return above is not None


def _content(call: TraceSpan, trace: Sequence[TraceSpan]) -> TraceSpan:
    """The span that holds the call's text: itself, or the nearest model span above or below it."""
    if call.output:
        return call
    by_id = {span.span_id: span for span in trace}
    above = by_id.pop(call.parent_span_id, None)
    while above is not None:  # each span once: a malformed trace may go in a circle
        if above.output and above.operation in MODEL_OPERATIONS:
            return above
        above = by_id.pop(above.parent_span_id, None)
    below = [span for span in trace if span.parent_span_id == call.span_id and span.output]
    return next((span for span in below if span.operation in MODEL_OPERATIONS), call)


def _turns(asked: list[messages.Message]) -> list[Turn]:
    return [
        Turn(role=str(message.get("role") or ""), content=content)
        for message in asked
        if (content := messages.text_of([message]))
    ]


def _tools(answered: list[messages.Message]) -> list[ToolCall]:
    return [
        ToolCall(name=str(part.get("name") or ""), arguments=_arguments(part.get("arguments")))
        for part in messages.tool_calls_of(answered)
    ]


def _arguments(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        found = _objects(value)
        return found[0] if found else {"": value}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


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
