"""A serialized OTLP KeyValue in, its key and Python value out.

Bytes in, because most attributes of a stream repeat byte for byte: a bounded memo answers those.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Value = str | bool | int | float | bytes | list[object] | dict[str, object] | None

_MEMO_BYTES = 96  # longer attributes hardly repeat
_MEMO_SIZE = 20_000
_DOUBLE = struct.Struct("<d").unpack

_memo: dict[bytes, tuple[str, Value]] = {}


def decode(raw: bytes) -> tuple[str, Value]:
    """As ``decode_new``, from the memo where it can.

    Values are shared between spans: nobody may change a list or an object among them.
    """
    hit = _memo.get(raw)
    if hit is not None:
        return hit
    pair = decode_new(raw)
    if len(raw) <= _MEMO_BYTES:
        if len(_memo) >= _MEMO_SIZE:
            _memo.clear()
        _memo[raw] = pair
    return pair


def decode_new(raw: bytes) -> tuple[str, Value]:
    """Key and value of one KeyValue. Text that is no UTF-8 keeps its readable part."""
    return _fast(raw) or _slow(raw)


def decode_all(raws: Iterable[bytes]) -> dict[str, Value]:
    """Every attribute by its key; of two with one key the last holds."""
    return dict(map(decode, raws))


def _fast(raw: bytes) -> tuple[str, Value] | None:
    """The common layout: key first (under 128 bytes), then one scalar value. None for any other."""
    size = len(raw)
    if size < 4 or raw[0] != 0x0A:
        return None
    end = raw[1] + 2
    if end > 129 or end + 2 > size or raw[end] != 0x12:
        return None
    length, at = raw[end + 1], end + 2
    if length > 127:
        length, at = _varint(raw, end + 1)
    if at + length != size or length < 2:
        return None
    if raw[at] == 0x0A:  # a text
        length, start = raw[at + 1], at + 2
        if length > 127:
            length, start = _varint(raw, at + 1)
        if start + length != size:
            return None
        return raw[2:end].decode("utf-8", "replace"), raw[start:].decode("utf-8", "replace")
    value = _number(raw, at, size)
    return None if value is None else (raw[2:end].decode("utf-8", "replace"), value)


def _number(raw: bytes, at: int, size: int) -> int | float | bool | None:
    tag = raw[at]
    if tag == 0x18:
        number, end = _varint(raw, at + 1)
        return (number if number < 1 << 63 else number - (1 << 64)) if end == size else None
    if tag == 0x21 and size - at == 9:
        return _DOUBLE(raw[at + 1 :])[0]
    if tag == 0x10 and size - at == 2:
        return raw[at + 1] != 0
    return None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    byte = raw[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    for index in range(at + 1, min(at + 10, len(raw))):
        byte = raw[index]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, index + 1
        shift += 7
    return 1 << 70, len(raw)  # no varint: fits no length, so the slow way decides


def _slow(raw: bytes) -> tuple[str, Value]:
    pair = KeyValue.FromString(raw)
    return pair.key, any_value(pair.value)


def any_value(value: AnyValue) -> Value:
    """What an AnyValue holds; None when it is empty."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: any_value(pair.value) for pair in value.kvlist_value.values}
    found: str | bool | int | float | bytes = getattr(value, kind)
    return found


def text(value: Value) -> str:
    """An attribute as the text a Map(String, String) column keeps: scalars plain, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, bytes):
        return value.hex()
    return "" if value is None else orjson.dumps(value, default=_json_default).decode()


def _json_default(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError
