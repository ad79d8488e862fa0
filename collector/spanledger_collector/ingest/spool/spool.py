"""Records in from many requests, one fsync for all that wait, sealed segments out to one writer."""

from __future__ import annotations

import fcntl
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

from .segment import Record, Segment, sound_length

logger = logging.getLogger(__name__)

SEAL_BYTES = 8 * 1024 * 1024
"""A segment is sealed at this size (compressed requests): about 20 requests of 100 spans or more."""
SEAL_ITEMS = 10_000
MEMORY_BYTES = 128 * 1024 * 1024
"""Inflated bodies kept for the writer; beyond it the writer reads the file."""


class SpoolFullError(Exception):
    """There is no room; nothing of the record was kept."""


class SpoolLockedError(Exception):
    """Another collector uses this folder."""


@dataclass(slots=True)
class _Open:
    """The segment that records go to now."""

    path: Path
    file: IO[bytes]
    since: float
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
        self._lock_file = _lock(folder)
        self._wake = threading.Condition()
        self._file_lock = threading.Lock()
        self._waiting: deque[tuple[bytes, Record, Future[None]]] = deque()
        self._sealed: deque[Segment] = deque(_adopt(folder))
        self._bytes = sum(segment.size for segment in self._sealed)
        self._memory = 0
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
        current = self._open or self._start()
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

    def _start(self) -> _Open:
        path = self._folder / f"{self._next:020d}.spool"
        self._next += 1
        self._open = _Open(path, path.open("xb"), self._clock())
        _sync_folder(self._folder)
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
            self._sealed.append(Segment(current.path, current.size))
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
            self._sealed.append(Segment(current.path, current.size, current.records))
            self._wake.notify_all()

    # -- out ---------------------------------------------------------------------------------------------

    def take(self, linger_s: float, timeout_s: float) -> Segment | None:
        """The oldest segment, sealing the open one once it is ``linger_s`` old; None after ``timeout_s``.

        The segment stays in the spool until ``done``.
        """
        deadline = self._clock() + timeout_s
        while True:
            with self._wake:
                if self._sealed:
                    return self._sealed[0]
                now, current = self._clock(), self._open
                due = current.since + linger_s if current is not None else deadline
                if self._closing:
                    due = now
                if due > now:
                    if now >= deadline:
                        return None
                    self._wake.wait(min(due, deadline) - now)
                    continue
                if current is None:
                    return None
            with self._file_lock:
                if self._open is not None:
                    self._seal(self._open)

    def done(self, segment: Segment) -> None:
        """Forget a segment whose every record is in the store."""
        segment.path.unlink(missing_ok=True)  # first: a prepared batch without its segment is done
        segment.prepared.unlink(missing_ok=True)
        with self._wake:
            self._sealed.remove(segment)
            self._bytes -= segment.size
            self._memory -= _plain_size(segment.records)

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
        """When the oldest request that waits came in, in ns; None when none waits (or it is only on disk)."""
        current = self._open
        records = self._sealed[0].records if self._sealed else (current.records if current else [])
        return records[0].received_at if records else None

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


def _lock(folder: Path) -> IO[bytes]:
    file = (folder / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SpoolLockedError(f"{folder} is in use by another collector") from None
    return file


def _adopt(folder: Path) -> list[Segment]:
    """What an earlier process left, oldest first; torn tails, which nobody was told of, are cut off."""
    found: list[Segment] = []
    paths = sorted(folder.glob("*.spool"))
    for path in paths:
        size, sound = path.stat().st_size, sound_length(path)
        if sound < size:
            logger.warning("%s: cut %d bytes after its last whole record", path.name, size - sound)
            if path is not paths[-1]:  # only the last file can have been torn by a crash
                path.with_suffix(".damaged").write_bytes(path.read_bytes()[sound:])
            os.truncate(path, sound)
        if sound:
            found.append(Segment(path, sound))
        else:
            path.unlink()
    kept = {segment.prepared for segment in found}
    for path in folder.glob("*.prepared*"):
        if path not in kept:
            path.unlink()
    return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
