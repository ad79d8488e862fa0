"""The journal's stand-in without a disk: finished spans in, bounded bytes in memory, shipped by a thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from spanledger.journal import frames, shipping
from spanledger.journal.segment import COMMITTED, COUNT, REJECTED, SHIPPED, SHIPPED_COUNT
from spanledger.span_facts import SpanFacts

_SEGMENT_BYTES = 1 << 20
_RAW_SPANS = 512  # packed off the caller up to here, by the caller beyond: pressure, not growth
_WAKE_AT = 32
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 2.0


class MemorySegment:
    """What `spanledger.journal.segment.Segment` is on disk."""

    __slots__ = ("data", "resource", "size", "words")

    def __init__(self, resource: bytes, size: int) -> None:
        self.resource = resource
        self.size = size
        self.data = memoryview(bytearray(size))
        self.words = [0] * 64


class MemoryStore:
    """Holds at most ``limit_bytes`` of records; a daemon thread ships them."""

    def __init__(
        self,
        limit_bytes: int,
        connect: Callable[[], shipping.Connection],
        pack: Callable[[SpanFacts], bytes],
        *,
        interval_s: float = 1.0,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._connect = connect
        self._pack = pack
        self._interval_s = interval_s
        self.start_anew(b"")

    def start_anew(self, resource: bytes) -> None:
        """Start empty: at first, and in a forked child, where everything here belongs to the parent."""
        self._resource = resource
        self._raw: deque[SpanFacts] = deque()
        self._segments: deque[MemorySegment] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._stopped = False
        self._bytes = 0
        self._done = [0, 0]
        self._stored = 0
        self.dropped = 0
        self.unencodable = 0
        self.failure: shipping.Answer | None = None
        self.attempts = 0

    def put(self, span: SpanFacts) -> None:
        """Take a finished span; packed later unless many wait already."""
        raw = self._raw
        if len(raw) >= _RAW_SPANS:
            self._take_in(span)
            return
        raw.append(span)
        if self._thread is None:
            self._start()
        elif len(raw) == _WAKE_AT:
            self._wake.set()

    def put_payload(self, payload: bytes) -> None:
        """Take a payload; counted when memory is full."""
        with self._lock:
            self._store(frames.frame(payload))
        if self._thread is None:
            self._start()

    def _take_in(self, span: SpanFacts, *, waiting: bool = False) -> None:
        try:
            record = frames.frame(self._pack(span))
        except Exception:  # noqa: BLE001  the SDK's public face: a span must not break its caller
            record = b""
        with self._lock:
            if waiting:
                self._raw.popleft()
            if record:
                self._store(record)
            else:
                self.unencodable += 1

    def _store(self, record: bytes) -> None:
        last = self._segments[-1] if self._segments else None
        used = last.words[COMMITTED] if last else 0
        if last is None or used + len(record) > last.size:
            size = max(_SEGMENT_BYTES, len(record))
            if self._bytes + size > self._limit_bytes:
                self.dropped += 1
                return
            last, used = MemorySegment(self._resource, size), 0
            self._segments.append(last)
            self._bytes += size
        end = used + len(record)
        last.data[used:end] = record
        last.words[COUNT] += 1
        last.words[COMMITTED] = end
        self._stored += 1

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spanledger-shipper", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        connection, backoff_s = self._connect(), _FIRST_BACKOFF_S
        while not self._stopped:
            self._busy = True
            self._take_in_waiting()
            self._ship(connection.post)
            self._busy = False
            if self.failure is None:
                backoff_s = _FIRST_BACKOFF_S
                self._wake.wait(self._interval_s)
            else:
                time.sleep(max(backoff_s, min(self.failure.retry_after_s, 30.0)))
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
            self._wake.clear()
        connection.close()

    def stop(self) -> None:
        """End the thread at its next turn; what waits is lost with the process."""
        self._stopped = True
        self._wake.set()

    def _take_in_waiting(self) -> None:
        raw = self._raw
        while raw:
            self._take_in(raw[0], waiting=True)

    def _ship(self, post: shipping.Post) -> None:
        while self._segments:
            head = self._segments[0]
            self.failure = shipping.ship(head, post)
            self.attempts += 1
            if self.failure is not None:
                return
            with self._lock:
                if head.words[SHIPPED] < head.words[COMMITTED]:
                    continue
                self._segments.popleft()
                self._bytes -= head.size
                self._done[0] += head.words[SHIPPED_COUNT]
                self._done[1] += head.words[REJECTED]

    def poke(self) -> None:
        """Ship now."""
        if self._thread is None and self._raw:
            self._start()
        self._wake.set()

    def drained(self) -> bool:
        """Whether nothing waits here."""
        return not self._raw and not self._segments and not self._busy

    def totals(self) -> tuple[int, int, int]:
        """Spans taken (whatever became of them), shipped, and rejected by the collector."""
        with self._lock:
            shipped, rejected = self._done
            for segment in self._segments:
                shipped += segment.words[SHIPPED_COUNT]
                rejected += segment.words[REJECTED]
            return self._stored + self.dropped + self.unencodable + len(self._raw), shipped, rejected

    def last_status(self) -> tuple[int, int]:
        """(attempts so far, status of the answer that made the thread wait; 200 when it does not)."""
        return self.attempts, self.failure.status if self.failure else 200
