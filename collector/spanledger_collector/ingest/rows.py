"""What requests become on their way to the store: rows, and what is known beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spanledger.serving.usage import Usage

from .attributes import Value

Row = dict[str, Any]
"""Column to value; a column that is missing holds its default."""

SpanKey = tuple[str, bytes, bytes]
"""Project, trace id, span id."""

MODEL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Whose spans these are, from the key; ``received_at`` in ns.

    ``trusted``: the key may say for whom it sends, as a gateway does for its callers.
    """

    project: str
    team: str
    key_id: str
    received_at: int
    trusted: bool = False


@dataclass(slots=True)
class Span:
    """One row, and what billing needs beside it. ``told_*`` is what the span says of itself.

    ``clamped``: its start is the time of arrival, so another arrival of it has another start.
    """

    row: Row
    usage: Usage | None
    told_billable: bool | None = None
    told_reason: str = ""
    clamped: bool = False


@dataclass(slots=True)
class Batch:
    """What requests became. ``rejected`` counts spans without valid ids, ``clamped`` times that cannot be meant.

    ``contents`` is what log events told of spans: facts, and the row that holds them when their span is elsewhere.
    ``faults`` are spans that could not be read: project, why, and the span's bytes.
    """

    spans: list[Span] = field(default_factory=list[Span])
    scores: list[Row] = field(default_factory=list[Row])
    rejected: int = 0
    clamped: int = 0
    contents: dict[SpanKey, dict[str, Value]] = field(default_factory=dict[SpanKey, dict[str, Value]])
    content_rows: dict[SpanKey, Row] = field(default_factory=dict[SpanKey, Row])
    faults: list[tuple[str, str, bytes]] = field(default_factory=list[tuple[str, str, bytes]])
