"""Posting a segment's records: decides batches, retries and splits; what it is given posts the bytes."""

from __future__ import annotations

from spanledger import otlp
from spanledger.journal import frames
from spanledger.journal.segment import (
    ATTEMPTS,
    COMMITTED,
    COUNT,
    INFLIGHT,
    REJECTED,
    SHIPPED,
    SHIPPED_COUNT,
    STATUS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence
    from typing import Protocol

    Words = MutableSequence[int] | memoryview

    class Connection(Protocol):
        """Where bodies go; `spanledger.journal.transport.Transport` is the real one."""

        def post(self, body: bytes) -> Answer:
            """Send one body; never raises."""
            ...

        def close(self) -> None:
            """Let go of the network."""
            ...

    class Shippable(Protocol):
        """The part of a segment that shipping needs; in memory or on disk."""

        @property
        def words(self) -> Words:
            """Header words, see `spanledger.journal.segment`."""
            ...

        @property
        def data(self) -> memoryview:
            """The records, at the offsets the words name."""
            ...

        @property
        def resource(self) -> bytes:
            """The resource field."""
            ...

    Post = Callable[[bytes], "Answer"]


BATCH_BYTES = 2 << 20  # a collector that takes seconds for each answer gets through a backlog by few of them
BATCH_SPANS = 2048
# The collector says that the body itself is wrong; anything else may pass later.
PERMANENT = frozenset((400, 411, 413, 415, 422))


class Answer:
    """What came back for one body. ``status`` 0: no answer at all."""

    __slots__ = ("rejected", "retry_after_s", "status")

    def __init__(self, status: int, rejected: int = 0, retry_after_s: float = 0.0) -> None:
        self.status = status
        self.rejected = rejected
        self.retry_after_s = retry_after_s


class Batch:
    """Frames that go out as one request: up to where, how many, and their records in parts."""

    __slots__ = ("count", "damaged", "end", "parts", "size")

    def __init__(self, start: int) -> None:
        self.end = start
        self.count = self.damaged = self.size = 0
        self.parts: list[bytes] = [b""]  # the head of the request, known when all else is

    def body(self, resource: bytes) -> bytes:
        """The whole request."""
        self.parts[0] = otlp.request_head(resource, self.size)
        return b"".join(self.parts)


def batch(
    data: memoryview, start: int, stop: int, *, most_bytes: int = BATCH_BYTES, most_spans: int = BATCH_SPANS
) -> Batch:
    """The frames from ``start`` that make the next request: one at least, within the limits if there are more.

    Raises:
        ValueError: there is no frame where one should start.
    """
    found = Batch(start)
    while found.end < stop and found.count < most_spans:
        end = frames.frame_end(data, found.end, stop)
        if end - start > most_bytes and found.count:
            break
        try:
            found.size += frames.encode(data[found.end + 4 : end], found.parts)
        except frames.DAMAGE:
            found.damaged += 1
        found.end = end
        found.count += 1
    return found


def count_frames(data: memoryview, start: int, stop: int) -> int:
    """How many whole frames ``data[start:stop]`` holds.

    Raises:
        ValueError: it holds something else.
    """
    count = 0
    while start < stop:
        start = frames.frame_end(data, start, stop)
        count += 1
    return count


def _middle(data: memoryview, start: int, stop: int, count: int) -> int:
    for _ in range(max(count // 2, 1)):
        start = frames.frame_end(data, start, stop)
    return start


def ship(segment: Shippable, post: Post) -> Answer | None:
    """Post all committed records; None when all were taken, else the answer that says to wait.

    The end of a body is stored before it is sent, so a repeated body is the same body, also from another
    shipper after a crash. A body that is refused for good is halved until the bad span stands alone; that
    span is counted as rejected.
    """
    words, data = segment.words, segment.data
    while (start := words[SHIPPED]) < (stop := words[COMMITTED]):
        if words[SHIPPED] != start:
            continue  # the writer started the file again between our two looks
        try:
            next_ = _next_batch(words, data, start, stop)
        except ValueError:
            # Unreadable from here on: damage on disk. Nothing behind it can be framed.
            words[REJECTED] += max(words[COUNT] - words[SHIPPED_COUNT] - words[REJECTED], 0)
            words[SHIPPED] = stop
            return None
        words[INFLIGHT] = next_.end
        answer = post(next_.body(segment.resource)) if next_.size else Answer(200)
        words[ATTEMPTS] += 1
        words[STATUS] = answer.status
        if 200 <= answer.status < 300:
            rejected = min(answer.rejected + next_.damaged, next_.count)
            # Counts first: whoever sees the segment drained then reads final counts.
            words[SHIPPED_COUNT] += next_.count - rejected
            words[REJECTED] += rejected
            words[SHIPPED] = next_.end
        elif answer.status not in PERMANENT:
            return answer
        elif next_.count > 1:
            words[INFLIGHT] = _middle(data, start, next_.end, next_.count)
        else:
            words[REJECTED] += 1
            words[SHIPPED] = next_.end
    return None


def _next_batch(words: Words, data: memoryview, start: int, stop: int) -> Batch:
    end = words[INFLIGHT]
    if start < end <= stop:  # a body that was sent before: the same frames
        return batch(data, start, end, most_bytes=end - start, most_spans=end - start)
    return batch(data, start, stop)
