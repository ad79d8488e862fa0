"""What a finished span is made of: the types that the recorder, the journal and the encoder share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

AttributeValue = str | bool | int | float | bytes | Sequence[object] | Mapping[str, object] | None
Attributes = Mapping[str, AttributeValue]
Event = tuple[str, int, Attributes]
"""Name, time in ns, attributes."""
Link = tuple[bytes, bytes, Attributes, str, int]
"""Trace id, span id, attributes, trace state, flags."""


class SpanFacts(Protocol):
    """What the encoder reads of a finished span. Ids are bytes, times ns, ``scope`` is `otlp.scope`'s answer."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_time: int
    end_time: int
    attributes: dict[str, AttributeValue]
    status_code: int
    status_message: str
    trace_state: str
    flags: int
    scope: bytes
    dropped: tuple[int, int, int]

    @property
    def events(self) -> Sequence[Event]:
        """What happened meanwhile."""
        ...

    @property
    def links(self) -> Sequence[Link]:
        """Which other spans it belongs to."""
        ...
