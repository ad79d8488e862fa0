"""OTLP by hand: a finished span in, the bytes of one ``scope_spans`` field of a ResourceSpans message out.

Building the official protobuf objects costs eight times as much. The field numbers are those of
opentelemetry-proto 1.x (trace.proto, common.proto, resource.proto); a test parses what leaves here
with the official classes. Records are protobuf fields, so a concatenation of records is a valid message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

AttributeValue = str | bool | int | float | bytes | Sequence[object] | Mapping[str, object] | None
Attributes = Mapping[str, AttributeValue]
Event = tuple[str, int, Attributes]
"""Name, time in ns, attributes."""
Link = tuple[bytes, bytes, Attributes, str, int]
"""Trace id, span id, attributes, trace state, flags."""

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2

_MEMO_SIZE = 4096
_MEMO_VALUE = 48  # characters; longer values hardly repeat
_BYTE = [bytes((i,)) for i in range(128)]
_U64 = struct.Struct("<Q").pack
_F64 = struct.Struct("<d").pack
_U32 = struct.Struct("<I").pack
_TIMES = struct.Struct("<BQBQ").pack

_keys: dict[str, bytes] = {}
_memo: dict[tuple[str, str], bytes] = {}


class SpanFacts(Protocol):
    """What the encoder reads of a finished span. Ids are bytes, times ns, ``scope`` is `scope()`'s answer."""

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


def varint(value: int) -> bytes:
    """An unsigned integer in protobuf's base-128 form; negative int64 as its two's complement."""
    if value < 0:
        value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _length(size: int) -> bytes:
    if size < 128:
        return _BYTE[size]
    if size < 16384:
        return bytes((size & 127 | 128, size >> 7))
    return varint(size)


def field(tag: int, payload: bytes) -> bytes:
    """A length-delimited field: ``tag`` is the whole tag byte."""
    return _BYTE[tag] + _length(len(payload)) + payload


def text(value: str) -> bytes:
    """UTF-8, with a question mark for a lone surrogate, which protobuf strings cannot hold."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def _any_value(value: object) -> bytes:
    if isinstance(value, str):
        return field(0x0A, text(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value) if -(1 << 63) <= value < 1 << 63 else field(0x0A, str(value).encode())
    if isinstance(value, float):
        return b"\x21" + _F64(value)
    if isinstance(value, bytes | bytearray):
        return field(0x3A, bytes(value))
    if isinstance(value, Mapping):
        pairs = cast(Mapping[object, object], value)
        return field(0x32, b"".join(field(0x0A, _key_value(str(k), v)) for k, v in pairs.items()))
    if isinstance(value, (Sequence, set, frozenset)):
        return field(0x2A, b"".join(field(0x0A, _any_value(item)) for item in cast(Sequence[object], value)))
    return b"" if value is None else field(0x0A, text(str(value)))


def _key(key: str) -> bytes:
    encoded = field(0x0A, text(key))
    if len(_keys) < _MEMO_SIZE:
        _keys[key] = encoded
    return encoded


def _key_value(key: str, value: object) -> bytes:
    return (_keys.get(key) or _key(key)) + field(0x12, _any_value(value))


def attributes(pairs: Mapping[str, object], tag: int) -> bytes:
    """Every pair as a KeyValue field with this tag byte (9 on a span is 0x4A)."""
    return b"".join([field(tag, _key_value(key, value)) for key, value in pairs.items()])


def _span_attributes(pairs: Mapping[str, object], out: list[bytes]) -> None:
    """The hot path: short strings repeat from span to span, so their whole field is remembered."""
    add = out.append
    for key, value in pairs.items():
        if type(value) is not str:
            add(field(0x4A, _key_value(key, value)))
        elif len(value) <= _MEMO_VALUE:
            add(_memo.get((key, value)) or _remember(key, value))
        else:
            raw = text(value)
            size = len(raw)
            name = _keys.get(key) or _key(key)
            inner = _length(size)
            middle = _length(size + 1 + len(inner))
            total = _length(len(name) + 2 + len(middle) + len(inner) + size)
            add(b"".join((b"\x4a", total, name, b"\x12", middle, b"\x0a", inner, raw)))


def _remember(key: str, value: str) -> bytes:
    encoded = field(0x4A, _key_value(key, value))
    if len(_memo) >= _MEMO_SIZE:
        _memo.clear()
    _memo[(key, value)] = encoded
    return encoded


def scope(name: str, version: str = "", pairs: Attributes | None = None) -> bytes:
    """The instrumentation scope field that starts every record of that scope."""
    body = field(0x0A, text(name)) + (field(0x12, text(version)) if version else b"")
    return field(0x0A, body + (attributes(pairs, 0x1A) if pairs else b""))


def resource(pairs: Attributes) -> bytes:
    """The resource field that starts a ResourceSpans message."""
    return field(0x0A, attributes(pairs, 0x0A))


def request(resource_field: bytes, records: bytes) -> bytes:
    """An ExportTraceServiceRequest of one resource and its records."""
    return b"\x0a" + _length(len(resource_field) + len(records)) + resource_field + records


def _event(event: Event) -> bytes:
    name, time_ns, pairs = event
    return field(0x5A, b"\x09" + _U64(time_ns) + field(0x12, text(name)) + attributes(pairs, 0x1A))


def _link(link: Link) -> bytes:
    trace_id, span_id, pairs, state, flags = link
    body = field(0x0A, trace_id) + field(0x12, span_id)
    body += (field(0x1A, state.encode()) if state else b"") + attributes(pairs, 0x22)
    return field(0x6A, body + b"\x35" + _U32(flags))


def record(span: SpanFacts, extra: bytes = b"") -> bytes:
    """One span as a ``scope_spans`` field; ``extra`` holds attribute fields that every span carries."""
    start = max(span.start_time, 0)
    parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
    if span.trace_state:
        parts.append(field(0x1A, span.trace_state.encode()))
    if span.parent_span_id:
        parts += (b"\x22\x08", span.parent_span_id)
    parts += (
        field(0x2A, text(span.name)),
        b"\x30" + _BYTE[span.kind],
        _TIMES(0x39, start, 0x41, max(span.end_time, start)),
    )
    _span_attributes(span.attributes, parts)
    parts.append(extra)
    if span.events or span.links or span.dropped != (0, 0, 0):
        parts.append(_rare(span))
    if span.status_code or span.status_message:
        message = field(0x12, text(span.status_message)) if span.status_message else b""
        parts.append(field(0x7A, message + b"\x18" + _BYTE[span.status_code]))
    parts.append(b"\x85\x01" + _U32(span.flags))
    body = b"".join(parts)
    head = span.scope + b"\x12" + _length(len(body))
    return b"".join((b"\x12", _length(len(head) + len(body)), head, body))


def _rare(span: SpanFacts) -> bytes:
    dropped_attributes, dropped_events, dropped_links = span.dropped
    parts = [_event(event) for event in span.events]
    parts += [_link(link) for link in span.links]
    for tag, count in ((b"\x50", dropped_attributes), (b"\x60", dropped_events), (b"\x70", dropped_links)):
        if count:
            parts.append(tag + varint(count))
    return b"".join(parts)


def record_end(data: memoryview | bytes, offset: int) -> int:
    """Where the record that starts at ``offset`` ends; ValueError when no record starts there."""
    if data[offset] != 0x12:
        raise ValueError(f"no record at byte {offset}")
    size = shift = 0
    position = offset + 1
    while True:
        byte = data[position]
        position += 1
        size |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if not size:
        raise ValueError(f"an empty record at byte {offset}")
    return position + size
