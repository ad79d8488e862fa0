"""One file of accepted requests: records in, the same records out after any crash.

Layout: records one after the other, each ``magic, length of meta, length of body, crc32`` then meta
(JSON) and body (the request as it was accepted). A record whose checksum fails ends the file: it was
being written when the process died and was never acknowledged.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import orjson

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"SLR1"


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted request with the tenant its key named. ``received_at`` is in ns.

    ``encoding`` is the content encoding of ``body``, which is OTLP protobuf; ``plain`` is the inflated
    body while it is still in memory, so that the writer need not inflate it again.
    """

    signal: Literal["traces", "logs"]
    project: str
    team: str
    key_id: str
    received_at: int
    encoding: str
    body: bytes
    items: int = 0
    trusted: bool = False
    plain: bytes | None = field(default=None, compare=False, repr=False)

    def pack(self) -> bytes:
        """The record as it stands in a file."""
        meta = orjson.dumps(
            [
                self.signal,
                self.project,
                self.team,
                self.key_id,
                self.received_at,
                self.encoding,
                self.items,
                self.trusted,
            ]
        )
        checksum = zlib.crc32(self.body, zlib.crc32(meta))
        return b"".join((_HEADER.pack(_MAGIC, len(meta), len(self.body), checksum), meta, self.body))


def _unpack(meta: bytes, body: bytes) -> Record:
    signal, project, team, key_id, received_at, encoding, items, trusted = cast(
        tuple[Literal["traces", "logs"], str, str, str, int, str, int, bool], tuple(orjson.loads(meta))
    )
    return Record(signal, project, team, key_id, received_at, encoding, body, items, trusted)


@dataclass(slots=True)
class Segment:
    """A sealed file: what one insert is made from. Never changes, so neither does its token.

    ``received_at`` is when its first request came in (ns). ``records`` holds what is still in memory; empty when
    it must be read from the file.
    """

    path: Path
    size: int
    received_at: int | None = None
    records: list[Record] = field(default_factory=list[Record])

    def load(self) -> list[Record]:
        """Every record, from memory or from the file."""
        return self.records or list(read(self.path))

    def token(self) -> str:
        """A hash of the content. The engine counts two inserts with one token as one."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def prepared(self) -> Path:
        """Where the writer keeps the batch it made of this segment, until it is inserted."""
        return self.path.with_suffix(".prepared")


def read(path: Path) -> Iterator[Record]:
    """The records of a file up to the first that is torn."""
    for record, _ in _scan(path.read_bytes()):
        yield record


def survey(path: Path) -> tuple[int, int | None]:
    """How many bytes of a file are whole records, and when the first of them came in (ns)."""
    sound, first = 0, None
    for record, end in _scan(path.read_bytes()):
        sound, first = end, record.received_at if first is None else first
    return sound, first


def _scan(data: bytes) -> Iterator[tuple[Record, int]]:
    at = 0
    while at + _HEADER.size <= len(data):
        magic, meta_size, body_size, checksum = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        end = start + meta_size + body_size
        if magic != _MAGIC or end > len(data) or zlib.crc32(data[start:end]) != checksum:
            return
        yield _unpack(data[start : start + meta_size], data[start + meta_size : end]), end
        at = end
