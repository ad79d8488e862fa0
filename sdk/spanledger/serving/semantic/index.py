"""Vectors of one route's questions in; the nearest of one partition out.

Each partition has its own shelf, so that no search can meet another's rows, and what a search returns is checked
against the partition again. A small shelf is compared row by row; a large one is a graph (HNSW, by usearch).
Not safe in several threads: its owner keeps it to one, or locks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SMALL = 512  # rows; beyond it a shelf becomes a graph
_HEAD = 64  # bytes before a row's question


@dataclass(slots=True, frozen=True)
class Row:
    """One entry that can be found. Ids and the partition are hex; ``expires_at`` in seconds since the epoch."""

    entry: str
    partition: str
    question: str
    expires_at: float
    trace_id: str = ""
    span_id: str = ""

    def pack(self) -> bytes:
        """The row as bytes: half the memory of an object."""
        ids = (self.entry, 32), (self.partition, 32), (self.trace_id, 32), (self.span_id, 16)
        head = b"".join(bytes.fromhex(value.rjust(size, "0")) for value, size in ids)
        return head + int(self.expires_at * 1000).to_bytes(8, "big") + self.question.encode()

    @staticmethod
    def unpack(data: bytes) -> Row:
        """Read what ``pack`` wrote."""
        return Row(
            entry=data[:16].hex(),
            partition=data[16:32].hex(),
            trace_id=data[32:48].hex(),
            span_id=data[48:56].hex(),
            expires_at=int.from_bytes(data[56:64], "big") / 1000,
            question=data[_HEAD:].decode(),
        )


@dataclass(slots=True, frozen=True)
class Match:
    """A row and its cosine similarity to the question."""

    row: Row
    similarity: float


class Index:
    """The questions of one route, by partition; at most ``capacity`` rows, the least recently used go first."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.capacity = capacity
        self.evicted = 0
        self._rows: dict[int, bytes] = {}
        self._shelves: dict[bytes, _Shelf] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def entries(self) -> Iterator[str]:
        """The entries that can be found."""
        return (data[:16].hex() for data in self._rows.values())

    def add(self, row: Row, vector: bytes) -> None:
        """Make an entry findable; one that is there already is replaced."""
        key = _key(row.entry)
        self._drop(key)
        packed = row.pack()
        self._rows[key] = packed
        shelf = self._shelves.get(packed[16:32])
        if shelf is None or shelf.dimensions != len(vector):
            shelf = self._shelves[packed[16:32]] = _Shelf(len(vector))
        shelf.add(key, vector)
        while len(self._rows) > self.capacity:
            self.evicted += 1
            self._drop(next(iter(self._rows)))

    def drop(self, entry: str) -> bool:
        """Forget an entry; whether it was there."""
        return self._drop(_key(entry))

    def clear(self) -> None:
        """Forget all entries."""
        self._rows.clear()
        self._shelves.clear()

    def touch(self, entry: str) -> None:
        """Mark an entry as used."""
        if (data := self._rows.pop(_key(entry), None)) is not None:
            self._rows[_key(entry)] = data

    def search(self, partition: str, vector: bytes, now: float, most: int = 4) -> list[Match]:
        """The nearest rows of the partition whose time is not over, nearest first."""
        wanted = bytes.fromhex(partition)
        shelf = self._shelves.get(wanted)
        if shelf is None or shelf.dimensions != len(vector):
            return []
        found: list[Match] = []
        for key, similarity in shelf.search(vector, most):
            data = self._rows.get(key)
            if data is None or data[16:32] != wanted:
                continue
            row = Row.unpack(data)
            if row.expires_at <= now:
                self._drop(key)
            else:
                found.append(Match(row, similarity))
        return found

    def expire(self, now: float) -> int:
        """Forget rows whose time is over; how many."""
        late = int(now * 1000).to_bytes(8, "big")
        over = [key for key, data in self._rows.items() if data[56:64] <= late]
        for key in over:
            self._drop(key)
        return len(over)

    def _drop(self, key: int) -> bool:
        data = self._rows.pop(key, None)
        if data is None:
            return False
        shelf = self._shelves.get(data[16:32])
        if shelf is not None:
            shelf.drop(key)
            if not len(shelf):
                del self._shelves[data[16:32]]
        return True


class _Shelf:
    """The vectors of one partition."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._keys = array("Q")
        self._vectors = bytearray()
        self._graph: Any = None

    def __len__(self) -> int:
        return len(self._keys) if self._graph is None else len(self._graph)

    def add(self, key: int, vector: bytes) -> None:
        if self._graph is not None:
            self._graph.add(key, _one(vector), threads=1)
            return
        self._keys.append(key)
        self._vectors += vector
        if len(self._keys) > _SMALL:
            self._become_graph()

    def drop(self, key: int) -> None:
        if self._graph is not None:
            self._graph.remove(key)
        elif key in self._keys:
            # The last row takes the place of the one that goes.
            place, last = self._keys.index(key), len(self._keys) - 1
            size = self.dimensions
            self._keys[place] = self._keys[last]
            self._vectors[place * size : (place + 1) * size] = self._vectors[last * size :]
            del self._keys[last]
            del self._vectors[last * size :]

    def search(self, vector: bytes, most: int) -> list[tuple[int, float]]:
        if self._graph is None:
            return self._compare(vector, most)
        found = self._graph.search(_one(vector), most, threads=1)
        return [(int(k), 1.0 - float(d)) for k, d in zip(found.keys, found.distances, strict=True)]

    def _compare(self, vector: bytes, most: int) -> list[tuple[int, float]]:
        from usearch.compiled import MetricKind
        from usearch.index import search

        count = min(most, len(self._keys))
        found = search(self._matrix(), _one(vector), count, MetricKind.Cos, exact=True, threads=1)
        return [
            (self._keys[int(p)], 1.0 - float(d)) for p, d in zip(found.keys, found.distances, strict=True)
        ]

    def _matrix(self) -> Any:
        import numpy as np

        # A copy: an array that looks into the bytes would forbid them to grow.
        return np.frombuffer(bytes(self._vectors), dtype=np.int8).reshape(-1, self.dimensions)

    def _become_graph(self) -> None:
        import numpy as np
        from usearch.index import Index as Graph

        graph = Graph(
            ndim=self.dimensions,
            metric="cos",
            dtype="i8",
            connectivity=8,
            expansion_add=64,
            expansion_search=64,
        )
        graph.add(np.array(self._keys, dtype=np.uint64), self._matrix(), threads=1)
        self._graph, self._keys, self._vectors = graph, array("Q"), bytearray()


def _key(entry: str) -> int:
    """The first half of an entry's hash names its row."""
    return int(entry[:16], 16)


def _one(vector: bytes) -> Any:
    import numpy as np

    return np.frombuffer(vector, dtype=np.int8)
