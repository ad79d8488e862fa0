"""The inserts made of one segment in; a file out that says the same after a crash.

A batch is decided on once: what the table held then, and which price was valid then. Were it decided
again after a torn insert, the batch would differ, and rollups could not be repaired by sending it again.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from spanledger_collector.store.writes import Insert


def write(path: Path, inserts: Sequence[Insert]) -> None:
    """Keep the inserts, whole or not at all."""
    head = orjson.dumps(
        [[i.table, i.columns, i.token, i.rows, i.probes, len(i.body), zlib.crc32(i.body)] for i in inserts]
    )
    part = path.with_suffix(".prepared-part")
    with part.open("wb") as file:
        file.write(b"%d %d\n" % (len(head), zlib.crc32(head)))
        file.write(head)
        for insert in inserts:
            file.write(insert.body)
    part.replace(path)  # no sync: it guards against a dead process; after a power cut its checksums tell


def read(path: Path) -> list[Insert] | None:
    """The inserts kept, or None where there are none or they are damaged (then nothing was sent either)."""
    try:
        data = path.read_bytes()
        first, _, rest = data.partition(b"\n")
        length, checksum = (int(number) for number in first.split())
        head = rest[:length]
        if zlib.crc32(head) != checksum:
            return None
        return _bodies(orjson.loads(head), rest[length:])
    except (FileNotFoundError, ValueError):
        return None


def _bodies(heads: list[list[Any]], data: bytes) -> list[Insert] | None:
    inserts: list[Insert] = []
    at = 0
    for table, columns, token, rows, probes, size, checksum in heads:
        body = data[at : at + size]
        at += size
        if len(body) != size or zlib.crc32(body) != checksum:
            return None
        found = tuple((str(p), int(t), str(i)) for p, t, i in probes)
        inserts.append(Insert(table, tuple(columns), token, body, rows, found))
    return inserts
