"""Column names and types in; a Native block of no rows out, which is how a client learns them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable


def empty_block(columns: Iterable[tuple[str, str]]) -> bytes:
    """ClickHouse's Native format: counts as LEB128, then each column's name and type, length first."""
    named = list(columns)
    block = _leb128(len(named)) + _leb128(0)
    for name, kind in named:
        block += _text(name) + _text(kind)
    return block


def columns_of(json_answer: bytes) -> list[tuple[str, str]]:
    """The columns named in an answer in one of the engine's JSON formats."""
    return [(column["name"], column["type"]) for column in json.loads(json_answer)["meta"]]


def _text(value: str) -> bytes:
    raw = value.encode()
    return _leb128(len(raw)) + raw


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
