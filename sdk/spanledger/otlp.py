"""OTLP by hand: a finished span in, the bytes of one ``scope_spans`` field of a ResourceSpans message out.

Building the official protobuf objects costs eight times as much. The field numbers are those of
opentelemetry-proto 1.x (trace.proto, common.proto, resource.proto); a test parses what leaves here
with the official classes. Records are protobuf fields, so a concatenation of records is a valid message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

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
_BYTES_TYPES = (bytes, bytearray)
_LIST_TYPES = (Sequence, set, frozenset)


class _Lengths(dict[int, bytes]):
    """Varints by value, made when first asked for: sizes of fields repeat."""

    def __missing__(self, size: int) -> bytes:
        encoded = varint(size)
        if len(self) < 1 << 16:
            self[size] = encoded
        return encoded


_LENGTH = _Lengths()
_SAMPLED = b"\x85\x01\x01\0\0\0"
_KIND = [b"\x30" + kind for kind in _BYTE[:6]]
NOTHING_DROPPED = (0, 0, 0)
_keys: dict[str, bytes] = {}
_names: dict[str, bytes] = {}
# Fields of repeated attributes, by key and value. One dict a type: True, 1 and 1.0 are equal as keys.
_texts: dict[tuple[str, str], bytes] = {}
_numbers: dict[tuple[str, int], bytes] = {}
_lists: dict[tuple[str, tuple[str, ...]], bytes] = {}


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


def field(tag: int, payload: bytes) -> bytes:
    """A length-delimited field: ``tag`` is the whole tag byte."""
    return _BYTE[tag] + _LENGTH[len(payload)] + payload


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
    if isinstance(value, _BYTES_TYPES):
        return field(0x3A, bytes(value))
    if isinstance(value, Mapping):
        pairs = cast(Mapping[object, object], value)
        return field(0x32, b"".join(field(0x0A, _key_value(str(k), v)) for k, v in pairs.items()))
    if isinstance(value, _LIST_TYPES):
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
    """The hot path: what repeats from span to span is looked up, long texts are only framed."""
    add, lengths = out.append, _LENGTH
    for key, value in pairs.items():
        kind = type(value)
        if kind is str:
            if len(cast(str, value)) <= _MEMO_VALUE:
                add(_texts.get((key, cast(str, value))) or _remember(_texts, key, value))
                continue
            raw = text(cast(str, value))
            size = len(raw)
            name = _keys.get(key) or _key(key)
            inner = lengths[size]
            middle = size + 1 + len(inner)
            framed = lengths[middle]
            total = len(name) + 1 + len(framed) + middle
            out += (b"\x4a", lengths[total], name, b"\x12", framed, b"\x0a", inner, raw)
        elif kind is int:
            add(_numbers.get((key, cast(int, value))) or _remember(_numbers, key, value))
        elif kind is tuple:
            add(_lists.get((key, cast(Any, value))) or _list(key, cast(tuple[object, ...], value)))
        else:
            add(field(0x4A, _key_value(key, value)))


def _list(key: str, value: tuple[object, ...]) -> bytes:
    if all(type(item) is str for item in value) and len(value) <= 8:
        return _remember(_lists, key, value)
    return field(0x4A, _key_value(key, value))


def _remember(memo: dict[Any, bytes], key: str, value: object) -> bytes:
    encoded = field(0x4A, _key_value(key, value))
    if len(encoded) < 256:
        if len(memo) >= _MEMO_SIZE:
            memo.clear()
        memo[(key, value)] = encoded
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
    return b"\x0a" + _LENGTH[len(resource_field) + len(records)] + resource_field + records


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
    start, end = span.start_time, span.end_time
    if start < 0 or end < start:  # a clock that was set back
        start = max(start, 0)
        end = max(end, start)
    parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
    if span.trace_state:
        parts.append(field(0x1A, span.trace_state.encode()))
    if span.parent_span_id:
        parts += (b"\x22\x08", span.parent_span_id)
    name = span.name
    parts += (
        _names.get(name) or _name(name),
        _KIND[span.kind],
        _TIMES(0x39, start, 0x41, end),
    )
    _span_attributes(span.attributes, parts)
    parts.append(extra)
    if span.events or span.links or span.dropped != NOTHING_DROPPED:
        parts.append(_rare(span))
    if span.status_code or span.status_message:
        message = field(0x12, text(span.status_message)) if span.status_message else b""
        parts.append(field(0x7A, message + b"\x18" + _BYTE[span.status_code]))
    parts.append(_SAMPLED if span.flags == 1 else b"\x85\x01" + _U32(span.flags))
    size = sum(map(len, parts))
    inner = _LENGTH[size]
    head = span.scope
    outer = _LENGTH[len(head) + 1 + len(inner) + size]
    return b"".join((b"\x12", outer, head, b"\x12", inner, *parts))


def _name(name: str) -> bytes:
    encoded = field(0x2A, text(name))
    if len(_names) < _MEMO_SIZE and len(name) < 256:
        _names[name] = encoded
    return encoded


def _rare(span: SpanFacts) -> bytes:
    dropped_attributes, dropped_events, dropped_links = span.dropped
    parts = [_event(event) for event in span.events]
    parts += [_link(link) for link in span.links]
    for tag, count in ((b"\x50", dropped_attributes), (b"\x60", dropped_events), (b"\x70", dropped_links)):
        if count:
            parts.append(tag + varint(count))
    return b"".join(parts)
