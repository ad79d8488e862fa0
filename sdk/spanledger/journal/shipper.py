"""The shipper of one journal folder: finds segments, ships them oldest first, removes what is done.

One shipper a folder (a ``flock`` on ``shipper.lock``), as a process of its own or as a thread. It leaves
when no process writes to the folder and nothing is left to ship.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import time

from spanledger.journal import shipping
from spanledger.journal.segment import (
    COMMITTED,
    COUNT,
    CREATED,
    EXPIRED,
    HEADER,
    REJECTED,
    SHIPPED,
    SHIPPED_COUNT,
    SUFFIX,
    Segment,
    unlink,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOCK, WAKE = "shipper.lock", "wake"
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 2.0
_IDLE_S = 1.0  # an application that restarts finds its shipper still there
_LINGER_S = 60.0  # how long to go on for dead writers while the collector is away


class Shipper:
    """Ships one folder. ``post`` sends a body; ``clock`` is wall time in ns."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        post: shipping.Post,
        *,
        interval_s: float = 1.0,
        max_age_s: float = 7 * 86_400,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._directory = os.fspath(directory)
        self._post = post
        self._interval_s = interval_s
        self._max_age_ns = int(max_age_s * 1e9)
        self._clock = clock
        self._segments: dict[str, Segment] = {}
        self._seen: frozenset[str] = frozenset()
        self._lock = -1
        self._wake = -1
        self.failure: shipping.Answer | None = None

    def acquire(self) -> bool:
        """Become the folder's shipper; False when another one is."""
        try:
            lock = os.open(self._path(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._wake = _open_wake(self._path(WAKE))
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Stop being the folder's shipper."""
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()
        for descriptor in (self._wake, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._wake = self._lock = -1

    def run(self, stopped: Callable[[], bool] = lambda: False, *, forever: bool = False) -> None:
        """Ship until there is nothing more to do, or ``stopped``. Call `acquire` first."""
        backoff_s, idle_since = _FIRST_BACKOFF_S, time.monotonic()
        while not stopped() and os.path.isdir(self._directory):
            pending, alive = self.ship_once()
            if alive or forever:
                idle_since = time.monotonic()
            patience_s = _LINGER_S if pending else _IDLE_S
            if time.monotonic() - idle_since > patience_s and not self.has_new():
                return
            if self.failure is None:
                backoff_s = _FIRST_BACKOFF_S
                self.wait(self._interval_s if alive else 0.1)
            else:
                # A poke must not turn a back-off into a storm: at least the back-off is waited.
                wait_s = max(backoff_s, min(self.failure.retry_after_s, 30.0))
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
                time.sleep(wait_s)
                self.wait(0)

    def has_new(self) -> bool:
        """Whether there are segments that no pass has seen: of a writer that lived, or began, during the last one."""
        return not self._seen.issuperset(self._names())

    def wait(self, seconds: float) -> None:
        """Sleep until the time is over or a writer asks for a flush."""
        poll = select.poll()  # not select(): an application may have more than 1024 files open
        poll.register(self._wake, select.POLLIN)
        try:
            if poll.poll(seconds * 1000):
                os.read(self._wake, 4096)
        except OSError:
            pass

    def ship_once(self) -> tuple[bool, bool]:
        """One pass over the folder: (something is left to ship, some process still writes)."""
        self.failure = None
        alive = False
        names = self._names()
        self._seen = frozenset(names)
        for name in names:
            segment = self._segments.get(name) or self._open(name)
            if segment is None:
                continue
            orphaned = segment.orphaned()  # asked before shipping: what came before it is then complete
            self._expire(segment)
            if self.failure is None:
                self.failure = shipping.ship(segment, self._post)
            if orphaned and segment.words[SHIPPED] >= segment.words[COMMITTED]:
                self._remove(name, segment)
            alive = alive or not orphaned
        return any(s.words[SHIPPED] < s.words[COMMITTED] for s in self._segments.values()), alive

    def _names(self) -> list[str]:
        try:
            found = sorted(name for name in os.listdir(self._directory) if name.endswith(SUFFIX))
        except OSError:
            return []
        for gone in self._segments.keys() - set(found):
            self._segments.pop(gone).close()
        return found

    def _open(self, name: str) -> Segment | None:
        segment = Segment.open(self._path(name))
        if segment is None:
            return None
        self._segments[name] = segment
        words = segment.words
        # The shipper before us may have died between two header words; frames do not lie.
        try:
            done = shipping.count_frames(segment.data, HEADER, words[SHIPPED])
            words[SHIPPED_COUNT] = max(done - words[REJECTED] - words[EXPIRED], 0)
        except ValueError:
            pass
        return segment

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _expire(self, segment: Segment) -> None:
        words = segment.words
        if words[COMMITTED] == words[SHIPPED] or self._clock() - words[CREATED] < self._max_age_ns:
            return
        words[EXPIRED] += words[COUNT] - words[SHIPPED_COUNT] - words[REJECTED] - words[EXPIRED]
        words[SHIPPED] = words[COMMITTED]

    def _remove(self, name: str, segment: Segment) -> None:
        del self._segments[name]
        unlink(self._path(name))
        segment.close()


def _open_wake(path: str) -> int:
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no FIFO")
    return descriptor


def poke(directory: str | os.PathLike[str]) -> bool:
    """Ask the folder's shipper to ship now; False when there is none."""
    try:
        descriptor = os.open(os.path.join(directory, WAKE), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, b"x")
    except OSError:
        pass
    os.close(descriptor)
    return True
