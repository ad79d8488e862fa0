"""A finished span in, one frame of a segment out; and back, to the OTLP record the collector takes.

The caller must be quick: ``marshal`` (version 2, written in C, no import) takes a fifth of the time of encoding
OTLP. The shipper encodes, in its own process. A frame is a little-endian 32-bit length and a payload: a marshalled
tuple, or an OTLP record where a value is of a type that ``marshal`` does not know.
"""

from __future__ import annotations

import marshal
import struct

from spanledger import otlp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from spanledger.span_facts import AttributeValue, Event, Link, SpanFacts

_SIZE = struct.Struct("<I")
_MARSHAL_VERSION = 2  # no references: the fastest, and read by every later Python
_OTLP_TAG = 0x12
DAMAGE = (ValueError, EOFError, TypeError, AttributeError, IndexError, KeyError, struct.error)
"""What reading a damaged payload may raise."""


class FinishedSpan:
    """A finished span as plain facts; see `spanledger.span_facts.SpanFacts`."""

    __slots__ = (
        "attributes", "dropped", "end_time", "events", "flags", "kind", "links", "name", "parent_span_id",
        "scope", "span_id", "start_time", "status_code", "status_message", "trace_id", "trace_state",
    )  # fmt: skip

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_time: int
    end_time: int
    attributes: dict[str, AttributeValue]
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    status_code: int
    status_message: str
    trace_state: str
    flags: int
    scope: bytes
    dropped: tuple[int, int, int]


def pack(span: SpanFacts) -> bytes:
    """The payload of a span's frame."""
    facts: Any = (
        span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind, span.start_time, span.end_time,
        span.attributes, span.events, span.links, span.status_code, span.status_message, span.trace_state,
        span.flags, span.scope, span.dropped,
    )  # fmt: skip
    try:
        return marshal.dumps(facts, _MARSHAL_VERSION)
    except ValueError:  # a subclass of str or int, a mapping that is no dict, ...
        return otlp.record(span)


def encode(payload: memoryview | bytes, out: list[bytes]) -> int:
    """Append the OTLP record of a payload to ``out``, in parts; its length. The same bytes every time.

    Raises:
        Exception: one of `DAMAGE`; ``out`` is as it was.
    """
    if payload[0] == _OTLP_TAG:
        out.append(bytes(payload))
        return len(payload)
    return otlp.encode(out, *marshal.loads(payload))


put_size = _SIZE.pack_into
"""Called with a buffer, an offset and the length of a payload that will follow it."""


def frame(payload: bytes) -> bytes:
    """A payload with its length before it."""
    return _SIZE.pack(len(payload)) + payload


def frame_end(data: memoryview, start: int, stop: int) -> int:
    """Where the frame that starts at ``start`` ends.

    Raises:
        ValueError: no frame starts there.
    """
    if start + 4 > stop:
        raise ValueError(f"no frame at byte {start}")
    end = start + 4 + _SIZE.unpack_from(data, start)[0]
    if end == start + 4 or end > stop:
        raise ValueError(f"no frame at byte {start}")
    return end
