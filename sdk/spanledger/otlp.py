"""OTLP by hand: a finished span in, the bytes of one ``scope_spans`` field of a ResourceSpans message out.

Building the official protobuf objects costs eight times as much. The field numbers are those of
opentelemetry-proto 1.x (trace.proto, common.proto, resource.proto); a test parses what leaves here
with the official classes. Records are protobuf fields, so a concatenation of records is a valid message.

The shipper process loads this module: at import it needs ``struct`` and nothing else.
"""

from __future__ import annotations

import struct

from spanledger.semconv import JSON_TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from spanledger.span_facts import Attributes, AttributeValue, Event, Link, SpanFacts

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2

_MEMO_SIZE = 4096
_MEMO_VALUE = 48  # characters; longer values hardly repeat
_BYTE = [bytes((i,)) for i in range(128)]
_U64 = struct.Struct("<Q").pack
_F64 = struct.Struct("<d").pack
_U32 = struct.Struct("<I").pack
_TIMES = struct.Struct("<BQBQ").pack


class _Lengths(dict[int, bytes]):
    """Varints by value, made when first asked for: sizes of fields repeat."""

    def __missing__(self, size: int) -> bytes:
        encoded = varint(size)
        if len(self) < 1 << 16:
            self[size] = encoded
        return encoded


class _Memo(dict[str, "dict[Any, bytes]"]):
    """Whole attribute fields, by name and then by value: most of a span's attributes were on the last one too."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __missing__(self, key: str) -> dict[Any, bytes]:
        self._grow()
        found = self[key] = {}
        return found

    def remember(self, key: str, value: object) -> bytes:
        encoded = field(0x4A, _key_value(key, value))
        if len(encoded) < 256:
            self._grow()
            self[key][value] = encoded
        return encoded

    def _grow(self) -> None:
        if self.count >= _MEMO_SIZE:
            self.clear()
            self.count = 0
        self.count += 1


_LENGTH = _Lengths()
_SAMPLED = b"\x85\x01\x01\0\0\0"
_KIND = [b"\x30" + kind for kind in _BYTE[:6]]
NOTHING_DROPPED = (0, 0, 0)
_keys: dict[str, bytes] = {}
_names: dict[str, bytes] = {}
_texts, _numbers, _lists = _Memo(), _Memo(), _Memo()  # one a type: True, 1 and 1.0 are equal as keys


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


def _any_value(value: Any) -> bytes:
    if isinstance(value, str):
        return field(0x0A, text(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value) if -(1 << 63) <= value < 1 << 63 else field(0x0A, str(value).encode())
    if isinstance(value, float):
        return b"\x21" + _F64(value)
    if isinstance(value, (bytes, bytearray)):
        return field(0x3A, bytes(value))
    return b"" if value is None else _nested(value)


def _nested(value: Any) -> bytes:
    if isinstance(value, dict):
        return _pairs(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(value)  # pyright: ignore[reportUnknownArgumentType]
    from collections.abc import Mapping, Sequence

    if isinstance(value, Mapping):
        return _pairs(value)  # pyright: ignore[reportUnknownArgumentType]
    return _items(value) if isinstance(value, Sequence) else field(0x0A, text(str(value)))  # pyright: ignore[reportUnknownArgumentType]


def _pairs(value: Mapping[object, object]) -> bytes:
    return field(0x32, b"".join([field(0x0A, _key_value(str(k), v)) for k, v in value.items()]))


def _items(value: Iterable[object]) -> bytes:
    return field(0x2A, b"".join([field(0x0A, _any_value(item)) for item in value]))


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


def _span_attributes(pairs: Mapping[str, Any], out: list[bytes]) -> None:
    """The hot path: what repeats from span to span is looked up, long texts are only framed."""
    add, texts, numbers = out.append, _texts, _numbers
    for key, value in pairs.items():
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            if len(value) <= _MEMO_VALUE:
                add(texts[key].get(value) or texts.remember(key, value))
            else:
                _long_text(key, text(value), out)
        elif kind is int:
            add(numbers[key].get(value) or numbers.remember(key, value))
        elif kind is bytes and key in JSON_TEXTS:
            _long_text(key, value if value.isascii() else text(value.decode("utf-8", "replace")), out)
        elif kind is tuple:
            add(_list(key, value))
        elif kind is float:
            name = _keys.get(key) or _key(key)
            out += (b"\x4a", _LENGTH[len(name) + 11], name, b"\x12\x09\x21", _F64(value))
        else:
            add(field(0x4A, _key_value(key, value)))


def _long_text(key: str, raw: bytes, out: list[bytes]) -> None:
    lengths, size = _LENGTH, len(raw)
    name = _keys.get(key) or _key(key)
    inner = lengths[size]
    middle = size + 1 + len(inner)
    framed = lengths[middle]
    whole = lengths[len(name) + 1 + len(framed) + middle]
    out += (b"\x4a", whole, name, b"\x12", framed, b"\x0a", inner, raw)


def _list(key: str, value: tuple[Any, ...]) -> bytes:
    for item in value:
        if type(item) is not str:
            return field(0x4A, _key_value(key, value))
    if len(value) > 8:
        return field(0x4A, _key_value(key, value))
    return _lists[key].get(value) or _lists.remember(key, value)


def scope(name: str, version: str = "", pairs: Attributes | None = None) -> bytes:
    """The instrumentation scope field that starts every record of that scope."""
    body = field(0x0A, text(name)) + (field(0x12, text(version)) if version else b"")
    return field(0x0A, body + (attributes(pairs, 0x1A) if pairs else b""))


def resource(pairs: Attributes) -> bytes:
    """The resource field that starts a ResourceSpans message."""
    return field(0x0A, attributes(pairs, 0x0A))


def request_head(resource_field: bytes, size: int) -> bytes:
    """What precedes ``size`` bytes of records of one resource in an ExportTraceServiceRequest."""
    return b"\x0a" + _LENGTH[len(resource_field) + size] + resource_field


def request(resource_field: bytes, records: bytes) -> bytes:
    """An ExportTraceServiceRequest of one resource and its records."""
    return request_head(resource_field, len(records)) + records


def _event(event: Event) -> bytes:
    name, time_ns, pairs = event
    return field(0x5A, b"\x09" + _U64(time_ns) + field(0x12, text(name)) + attributes(pairs, 0x1A))


def _link(link: Link) -> bytes:
    trace_id, span_id, pairs, state, flags = link
    body = field(0x0A, trace_id) + field(0x12, span_id)
    body += (field(0x1A, state.encode()) if state else b"") + attributes(pairs, 0x22)
    return field(0x6A, body + b"\x35" + _U32(flags))


def record(span: SpanFacts) -> bytes:
    """One span as a ``scope_spans`` field."""
    out: list[bytes] = []
    encode(
        out, span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind, span.start_time,
        span.end_time, span.attributes, span.events, span.links, span.status_code, span.status_message,
        span.trace_state, span.flags, span.scope, span.dropped,
    )  # fmt: skip
    return b"".join(out)


def encode(
    out: list[bytes],
    trace_id: bytes,
    span_id: bytes,
    parent_span_id: bytes,
    name: str,
    kind: int,
    start: int,
    end: int,
    pairs: Mapping[str, AttributeValue],
    events: Sequence[Event],
    links: Sequence[Link],
    status_code: int,
    status_message: str,
    trace_state: str,
    flags: int,
    head: bytes,
    dropped: tuple[int, int, int],
) -> int:
    """Append a span's ``scope_spans`` field in parts, which are joined once a request; its length in bytes.

    The arguments are those of `SpanFacts`, in the order in which the journal keeps them.
    """
    if start < 0 or end < start:  # a clock that was set back
        start = max(start, 0)
        end = max(end, start)
    parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
    if trace_state:
        parts.append(field(0x1A, trace_state.encode()))
    if parent_span_id:
        parts += (b"\x22\x08", parent_span_id)
    parts += (_names.get(name) or _name(name), _KIND[kind], _TIMES(0x39, start, 0x41, end))
    _span_attributes(pairs, parts)
    if events or links or dropped != NOTHING_DROPPED:
        parts.append(_rare(events, links, dropped))
    if status_code or status_message:
        message = field(0x12, text(status_message)) if status_message else b""
        parts.append(field(0x7A, message + b"\x18" + _BYTE[status_code]))
    parts.append(_SAMPLED if flags == 1 else b"\x85\x01" + _U32(flags))
    size = sum(map(len, parts))
    inner = _LENGTH[size]
    size += len(head) + 1 + len(inner)
    outer = _LENGTH[size]
    out += (b"\x12", outer, head, b"\x12", inner)
    out += parts
    return size + 1 + len(outer)


def _name(name: str) -> bytes:
    encoded = field(0x2A, text(name))
    if len(_names) < _MEMO_SIZE and len(name) < 256:
        _names[name] = encoded
    return encoded


def _rare(events: Sequence[Event], links: Sequence[Link], dropped: tuple[int, int, int]) -> bytes:
    dropped_attributes, dropped_events, dropped_links = dropped
    parts = [_event(event) for event in events]
    parts += [_link(link) for link in links]
    for tag, count in ((b"\x50", dropped_attributes), (b"\x60", dropped_events), (b"\x70", dropped_links)):
        if count:
            parts.append(tag + varint(count))
    return b"".join(parts)
