"""The cache of wrapped clients: answers in memory."""

from __future__ import annotations

import threading
import time

from spanledger.serving import caching


class ExactCache:
    """Answers to requests that were asked before, word for word. One may serve several clients.

    Args:
        ttl_s: How long an answer is good, in seconds.
        max_bytes: How much is kept; the least recently used goes first.
    """

    def __init__(self, ttl_s: float = 3600.0, max_bytes: int = 64 << 20) -> None:
        self.ttl_s = ttl_s
        self._memory = caching.MemoryCache(max_bytes)
        self._lock = threading.Lock()

    def get(self, key: str) -> caching.Entry | None:
        """The kept answer, if its time is not over."""
        with self._lock:
            found = self._memory.get(key, time.monotonic())
        return caching.Entry.decode(found) if found else None

    def put(self, key: str, entry: caching.Entry) -> None:
        """Keep an answer."""
        with self._lock:
            self._memory.put(key, entry.encode(), time.monotonic() + self.ttl_s)
