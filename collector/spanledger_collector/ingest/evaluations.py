"""A ``gen_ai.evaluation.result`` event in, a row of ``scores`` out."""

from __future__ import annotations

import hashlib
from typing import Any

from .attributes import Value, text
from .values import number

EVENT = "gen_ai.evaluation.result"
_POINTERS = ("trace_id", "span_id", "route", "upstream", "request_model")


def score_row(attributes: dict[str, Value], span: dict[str, Any], created_at: int) -> dict[str, Any] | None:
    """The score an event tells about the span it rides on; None when it has no name.

    ``score_id`` is a hash of what it says about which span, so the same event stored again changes nothing.
    A value that is no finite number is kept as a label with status ``invalid``.
    """
    name = text(attributes.get("gen_ai.evaluation.name"))
    if not name:
        return None
    told = attributes.get("gen_ai.evaluation.score.value")
    value = number(told)
    label = text(attributes.get("gen_ai.evaluation.score.label"))
    explanation = text(attributes.get("gen_ai.evaluation.explanation"))
    source = text(attributes.get("spanledger.score.source")) or "sdk"
    row: dict[str, Any] = {
        "project": span["project"],
        "score_id": _score_id(span, name, source, value, label, explanation),
        "name": name,
        "value": value,
        "label": label or ("" if told is None or value is not None else text(told)),
        "explanation": explanation,
        "status": "ok" if value is not None or told is None else "invalid",
        "source": source if source in ("eval", "human", "sdk", "api") else "sdk",
        "scorer": text(attributes.get("gen_ai.evaluation.evaluator.id")),
        "scorer_version": text(attributes.get("gen_ai.evaluation.evaluator.version")),
        "higher_is_better": True,
        "time": span["start_time"],
        "created_at": created_at,
        "author": text(attributes.get("spanledger.score.author")),
    }
    for column in _POINTERS:
        if span.get(column):
            row[column] = span[column]
    return row


def _score_id(span: dict[str, Any], *parts: object) -> str:
    content = repr((span["project"], span["trace_id"], span["span_id"], *parts))
    return hashlib.sha256(content.encode()).hexdigest()[:32]
