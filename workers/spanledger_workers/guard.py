"""What keeps tasks honest: one runner at a time for a tick, and a bound on tries for a batch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from redis.exceptions import LockError, RedisError

from .memory import Lock, Memory

MOST_TRIES = 3
LOCK_S = 15.0
"""How long work stands still when the worker that was at it died."""
_KEPT_S = 86_400


@contextmanager
def alone(redis: Memory, name: str, longest_s: float) -> Generator[bool]:
    """Whether this process is the only one inside; a second beat or an overlapping tick gets False.

    The lock is short and renewed for at most ``longest_s``, so that a worker killed inside holds up nobody for long.
    """
    lock = redis.lock(f"spanledger:lock:{name}", timeout=LOCK_S, blocking=False, thread_local=False)
    granted = bool(lock.acquire())
    done = threading.Event()
    if granted:
        threading.Thread(target=_renew, args=(lock, done, longest_s), daemon=True).start()
    try:
        yield granted
    finally:
        done.set()
        if granted:
            with contextlib.suppress(LockError):  # it expired: somebody else has it now
                lock.release()


def _renew(lock: Lock, done: threading.Event, longest_s: float) -> None:
    for _ in range(int(longest_s * 3 / LOCK_S)):
        if done.wait(LOCK_S / 3):
            return
        with contextlib.suppress(RedisError):  # the next renewal may come through
            lock.extend(LOCK_S, replace_ttl=True)


class Attempts:
    """Counts how often work on a job began, in Redis and before the work, so that a crash counts too."""

    def __init__(self, redis: Memory) -> None:
        """Counters live for a day."""
        self._redis = redis

    def begin(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Count one more try for each job and return the counts."""
        pipe = self._redis.pipeline()
        for job_id in job_ids:
            pipe.incr(_key(job_id))
            pipe.expire(_key(job_id), _KEPT_S)
        return dict(zip(job_ids, pipe.execute()[::2], strict=True))

    def take_back(self, job_ids: Sequence[str]) -> None:
        """Uncount a try that was no fault of the job: it was split off, or the store was away."""
        pipe = self._redis.pipeline()
        for job_id in job_ids:
            pipe.decr(_key(job_id))
        pipe.execute()

    def forget(self, job_ids: Sequence[str]) -> None:
        """The jobs ended."""
        pipe = self._redis.pipeline()
        for job_id in job_ids:
            pipe.delete(_key(job_id))
        pipe.execute()


def _key(job_id: str) -> str:
    return f"spanledger:attempts:{job_id}"
