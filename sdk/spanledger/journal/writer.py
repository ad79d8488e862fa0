"""The application's side of the journal: records in, bounded segments on disk, exact counts out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from spanledger.journal import frames
from spanledger.journal.segment import (
    ATTEMPTS,
    CLOSED,
    COMMITTED,
    COUNT,
    EXPIRED,
    HEADER,
    REJECTED,
    SHIPPED,
    SHIPPED_COUNT,
    STATUS,
    SUFFIX,
    Segment,
)
from spanledger.settings import Settings

_LOOK_NS = 2_000_000_000  # others may fill the folder meanwhile: by so much its limit is soft
_FIRST_BYTES, _SEGMENT_BYTES = 1 << 19, 2 << 20
_STANDBY = 2  # full segments that stay mapped until they can be used again
_STALE_NEW_S = 3600


def destination(settings: Settings) -> Path:
    """The folder for this endpoint and key: spans of one tenant are never sent with another's key."""
    digest = hashlib.sha256(f"{settings.endpoint}\0{settings.key}".encode()).hexdigest()
    return settings.journal_dir / digest[:16]


def waiting(directory: Path) -> tuple[int, int]:
    """How many spans wait in a folder, and the bytes of its files."""
    spans = size = 0
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        segment = Segment.open(os.fspath(path))
        if segment is not None:
            words = segment.words
            spans += max(words[COUNT] - words[SHIPPED_COUNT] - words[REJECTED] - words[EXPIRED], 0)
            size += segment.size
            segment.close()
    return spans, size


class JournalFull(Exception):
    """The folder holds as much as it may."""


class Journal:
    """Appends records for one process. The caller holds a lock around every method.

    Raises:
        OSError: from `append`, when the disk is full, read-only or not there.
    """

    def __init__(self, directory: Path, resource: bytes, limit_bytes: int) -> None:
        self.directory = directory
        self._resource = resource
        self._limit_bytes = limit_bytes
        self._sequence = 0
        self._active: Segment | None = None
        self._standby: list[Segment] = []
        self._retired: list[Segment] = []
        self._offset = 0
        self._count = 0
        self._looked = self._used = 0  # when the folder was looked at (ns), and what it holds since
        self._done = [0, 0, 0]  # shipped, rejected, expired of segments that are over

    def append(self, *payloads: bytes) -> bool:
        """Store payloads, all or none; on return they survive the death of this process. True when a segment filled up.

        Raises:
            JournalFull: the folder's limit is reached; nothing is stored.
            OSError: there is no disk to store it on.
        """
        needed = sum(map(len, payloads)) + 4 * len(payloads)
        active, start = self._active, self._offset
        rotated = active is None or start + needed > active.size
        if active is None or rotated:
            active, start = self._rotate(needed), HEADER
        data = active.data
        for payload in payloads:
            size = len(payload)
            frames.put_size(data, start, size)
            data[start + 4 : start + 4 + size] = payload
            start += 4 + size
        self._offset = start
        self._count += len(payloads)
        words = active.words
        words[COUNT] = self._count
        words[COMMITTED] = start
        return rotated

    def _rotate(self, needed: int) -> Segment:
        fresh = self._drained_standby(needed)
        if fresh is not None:
            self._add(fresh, self._done)
            fresh.recycle(time.time_ns())
        else:
            fresh = self._create(max(_SEGMENT_BYTES if self._sequence else _FIRST_BYTES, HEADER + needed))
        self._put_aside()
        self._active, self._offset, self._count = fresh, HEADER, 0
        return fresh

    def _drained_standby(self, needed: int) -> Segment | None:
        for segment in self._standby:
            if segment.words[SHIPPED] >= segment.words[COMMITTED] and HEADER + needed <= segment.size:
                self._standby.remove(segment)
                return segment
        return None

    def _put_aside(self) -> None:
        """The active segment is full: keep it for reuse, or close it when enough are kept."""
        if self._active is not None and len(self._standby) < _STANDBY:
            self._standby.append(self._active)
            self._active = None
        self._retire()

    def _create(self, size: int) -> Segment:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = time.time_ns()
        is_known = now - self._looked < _LOOK_NS and self._used + size <= self._limit_bytes
        if not is_known and self._look(now) + size > self._limit_bytes:
            raise JournalFull
        self._sequence += 1
        self._used += size
        name = f"{now:020d}-{os.getpid()}-{self._sequence}{SUFFIX}"
        return Segment.create(os.path.join(self.directory, name), size, self._resource, now)

    def _look(self, now: int) -> int:
        """How much the folder holds. One look costs a microsecond a file, and after an outage there are thousands."""
        self._looked, self._used = now, self._measured(now / 1e9)
        return self._used

    def _measured(self, now: float) -> int:
        total = 0
        with os.scandir(self.directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    total += facts.st_size
                    # A process died between creating a segment and showing it: it holds no span.
                    if entry.name.endswith(".new") and now - facts.st_mtime > _STALE_NEW_S:
                        os.unlink(entry.path)
        return total

    def _retire(self) -> None:
        if self._active is not None:
            self._active.words[CLOSED] = 1
            self._active.shrink_to_header()
            self._retired.append(self._active)
            self._active = None
        for segment in [s for s in self._retired if s.words[SHIPPED] >= s.words[COMMITTED]]:
            self._retired.remove(segment)
            self._add(segment, self._done)
            segment.close()

    @staticmethod
    def _add(segment: Segment, totals: list[int]) -> None:
        words = segment.words
        for position, word in enumerate((SHIPPED_COUNT, REJECTED, EXPIRED)):
            totals[position] += words[word]

    def totals(self) -> tuple[int, int, int]:
        """Spans of this process that were shipped, rejected by the collector, and removed for their age."""
        totals = list(self._done)
        for segment in self._open():
            self._add(segment, totals)
        return totals[0], totals[1], totals[2]

    def drained(self) -> bool:
        """Whether everything this process recorded was taken."""
        return all(s.words[SHIPPED] >= s.words[COMMITTED] for s in self._open())

    def last_status(self) -> tuple[int, int]:
        """(attempts so far, last HTTP status; 0 no answer) of what this process has waiting."""
        attempts = sum(s.words[ATTEMPTS] for s in self._open())
        waiting = [s.words[STATUS] for s in self._open() if s.words[SHIPPED] < s.words[COMMITTED]]
        return attempts, (waiting[0] if waiting else 200)

    def _open(self) -> list[Segment]:
        mapped = [*self._retired, *self._standby]
        return [*mapped, self._active] if self._active else mapped

    def finish(self) -> None:
        """Say that no more will come, so that the shipper may remove the files."""
        self._retire()
        for segment in self._standby:
            segment.words[CLOSED] = 1
            segment.shrink_to_header()
        self._retired += self._standby
        self._standby = []

    def forget(self) -> None:
        """In a forked child: the segments are the parent's. Let go of them, and of its lock on them."""
        for segment in self._open():
            segment.close()
        self._active, self._standby, self._retired, self._done = None, [], [], [0, 0, 0]
        self._sequence = 0
