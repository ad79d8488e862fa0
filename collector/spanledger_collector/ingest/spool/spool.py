"""Records in from many requests, one fsync for all that wait, sealed segments out to one writer."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from .folder import adopt, lock, sync_folder
from .segment import Record, Segment

logger = logging.getLogger(__name__)

SEAL_BYTES = 8 * 1024 * 1024
"""A segment is sealed at this size (compressed requests): about 20 requests of 100 spans or more."""
SEAL_ITEMS = 10_000
MEMORY_BYTES = 128 * 1024 * 1024
"""Inflated bodies kept for the writer; beyond it the writer reads the file."""


class SpoolFullError(Exception):
    """There is no room; nothing of the record was kept."""


@dataclass(slots=True)
class _Open:
    """The segment that records go to now."""

    path: Path
    file: IO[bytes]
    since: float
    received_at: int
    size: int = 0
    items: int = 0
    records: list[Record] = field(default_factory=list[Record])
    in_memory: bool = True


class Spool:
    """A folder of segments. ``append`` may be called from any thread, ``take`` from one writer.

    What an append's future answers without error is on disk (fdatasync), and comes out of ``take`` until
    ``done`` removes it, across any number of restarts.
    """

    def __init__(self, folder: Path, *, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the folder and adopt every segment found in it.

        Raises:
            SpoolLockedError: another process holds the folder.
            OSError: the folder cannot be made or written.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._max_bytes, self._clock = folder, max_bytes, clock
        self._lock_file = lock(folder)
        self._wake = threading.Condition()
        self._file_lock = threading.Lock()
        self._waiting: deque[tuple[bytes, Record, Future[None]]] = deque()
        self._sealed: deque[Segment] = deque(adopt(folder))
        self._bytes = sum(segment.size for segment in self._sealed)
        self._memory = 0
        self._taken = 0  # of the sealed segments, the oldest ones: given out and not done
        self._open: _Open | None = None
        self._next = 1 + max((int(path.stem) for path in folder.glob("*.spool")), default=0)
        self._closing = False
        self._committer = threading.Thread(target=self._commit_forever, name="spool-commit", daemon=True)
        self._committer.start()

    # -- in ----------------------------------------------------------------------------------------------

    def append(self, record: Record) -> Future[None]:
        """Queue one record; the future is done once the record is on disk.

        Raises:
            SpoolFullError: the folder is at its limit, or closing.
        """
        packed = record.pack()
        future: Future[None] = Future()
        with self._wake:
            if self._closing:
                raise SpoolFullError("the collector is stopping")
            if self._bytes + len(packed) > self._max_bytes:
                raise SpoolFullError(f"the spool holds its limit of {self._max_bytes} bytes")
            self._bytes += len(packed)
            self._waiting.append((packed, record, future))
            self._wake.notify_all()
        return future

    def _commit_forever(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                group = list(self._waiting)
                self._waiting.clear()
                if not group and self._closing:
                    return
            self._commit(group)

    def _commit(self, group: list[tuple[bytes, Record, Future[None]]]) -> None:
        try:
            with self._file_lock:
                self._write(group)
        except OSError as wrong:
            logger.error("the spool cannot write: %s", wrong)
            with self._wake:
                self._bytes -= sum(len(packed) for packed, _, _ in group)
            for _, _, future in group:
                future.set_exception(SpoolFullError(f"the spool cannot write: {wrong.strerror}"))
            return
        for _, _, future in group:
            future.set_result(None)
        with self._wake:
            self._wake.notify_all()

    def _write(self, group: list[tuple[bytes, Record, Future[None]]]) -> None:
        current = self._open or self._start(group[0][1].received_at)
        try:
            current.file.write(b"".join([packed for packed, _, _ in group]))
            current.file.flush()
            os.fdatasync(current.file.fileno())
        except OSError:
            # After a failed write or sync the tail is unknown: close this file where it was sound.
            self._abandon(current)
            raise
        current.size += sum(len(packed) for packed, _, _ in group)
        current.items += sum(record.items for _, record, _ in group)
        self._remember(current, [record for _, record, _ in group])
        if current.size >= SEAL_BYTES or current.items >= SEAL_ITEMS:
            self._seal(current)

    def _start(self, received_at: int) -> _Open:
        path = self._folder / f"{self._next:020d}.spool"
        self._next += 1
        self._open = _Open(path, path.open("xb"), self._clock(), received_at)
        sync_folder(self._folder)
        return self._open

    def _abandon(self, current: _Open) -> None:
        self._open = None
        try:
            os.truncate(current.path, current.size)
            current.file.close()
        except OSError as wrong:
            logger.error("%s is left with a torn tail: %s", current.path.name, wrong)
        if current.size:
            current.records.clear()
            self._sealed.append(Segment(current.path, current.size, current.received_at))
        else:
            current.path.unlink(missing_ok=True)

    def _remember(self, current: _Open, records: list[Record]) -> None:
        """Keep inflated records for the writer: all of a segment or none of it."""
        if not current.in_memory:
            return
        size = sum(len(record.plain or record.body) for record in records)
        if self._memory + size > MEMORY_BYTES:
            self._memory -= _plain_size(current.records)
            current.records.clear()
            current.in_memory = False
            return
        self._memory += size
        for record in records:
            current.records.append(replace(record, body=b"", plain=record.plain or record.body, encoding=""))

    def _seal(self, current: _Open) -> None:
        current.file.close()
        self._open = None
        with self._wake:
            self._sealed.append(Segment(current.path, current.size, current.received_at, current.records))
            self._wake.notify_all()

    # -- out ---------------------------------------------------------------------------------------------

    def take(self, linger_s: float, timeout_s: float, busy_linger_s: float = 0.0) -> Segment | None:
        """The oldest segment nobody took yet; None after ``timeout_s``.

        The open one is sealed once it is ``linger_s`` old, or ``busy_linger_s`` where that is longer and a
        segment that was taken is not done: then waiting costs nobody time and makes larger inserts. While two
        are not done it grows until it is full. The segment stays in the spool until ``done``.
        """
        deadline = self._clock() + timeout_s
        while True:
            with self._wake:
                if len(self._sealed) > self._taken:
                    self._taken += 1
                    return self._sealed[self._taken - 1]
                now, current = self._clock(), self._open
                linger = max(linger_s, busy_linger_s) if self._taken else linger_s
                due = deadline if current is None or self._taken > 1 else current.since + linger
                if self._closing:
                    due = now
                if due > now:
                    if now >= deadline:
                        return None
                    self._wake.wait(min(due, deadline) - now)
                    continue
                if current is None or (self._taken > 1 and not self._closing):
                    return None
            with self._file_lock:
                if self._open is not None:
                    self._seal(self._open)

    def release_memory(self, segment: Segment) -> None:
        """Drop the copy of a segment's records; its file has them still."""
        with self._wake:
            self._memory -= _plain_size(segment.records)
            segment.records = []

    def done(self, segment: Segment) -> None:
        """Forget a segment that was taken and whose every record is in the store."""
        segment.path.unlink(missing_ok=True)  # first: a prepared batch without its segment is done
        segment.prepared.unlink(missing_ok=True)
        self.release_memory(segment)
        with self._wake:
            self._sealed.remove(segment)
            self._taken -= 1
            self._bytes -= segment.size
            self._wake.notify_all()

    # -- state -------------------------------------------------------------------------------------------

    @property
    def depth_bytes(self) -> int:
        """Bytes accepted and not yet in the store."""
        return self._bytes

    @property
    def segments(self) -> int:
        """Segments that wait for the writer, without the open one."""
        return len(self._sealed)

    @property
    def oldest_received_at(self) -> int | None:
        """When the oldest request that waits came in, in ns; None when none waits."""
        with self._wake:
            waits = self._sealed[0] if self._sealed else self._open
        return waits.received_at if waits is not None else None

    @property
    def full(self) -> bool:
        """Whether there is no room left."""
        return self._bytes >= self._max_bytes

    def close(self) -> None:
        """Refuse new records, commit what waits, then release the folder. The writer may still ``take``."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._committer.join()

    def release(self) -> None:
        """Let another process have the folder; call after the writer has stopped."""
        with self._file_lock:
            if self._open is not None:
                self._seal(self._open)
        self._lock_file.close()


def _plain_size(records: list[Record]) -> int:
    return sum(len(record.plain or b"") for record in records)
