"""Posting a segment's records: decides batches, retries and splits; what it is given posts the bytes."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from typing import NamedTuple, Protocol

from spanledger import otlp
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

BATCH_BYTES = 4 << 20
BATCH_SPANS = 2048
# The collector says that the body itself is wrong; anything else may pass later.
PERMANENT = frozenset((400, 411, 413, 415, 422))


class Answer(NamedTuple):
    """What came back for one body. ``status`` 0: no answer at all."""

    status: int
    rejected: int = 0
    retry_after_s: float = 0.0


Post = Callable[[bytes], Answer]


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
    def words(self) -> MutableSequence[int] | memoryview:
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


def batch_end(data: memoryview, start: int, stop: int) -> tuple[int, int]:
    """The end and span count of the next batch in ``data[start:stop]``; at least one record.

    Raises:
        ValueError, IndexError: there is no record at ``start``.
    """
    end, count = otlp.record_end(data, start), 1
    while end < stop and count < BATCH_SPANS:
        following = otlp.record_end(data, end)
        if following - start > BATCH_BYTES:
            break
        end, count = following, count + 1
    return end, count


def count_records(data: memoryview, start: int, stop: int) -> int:
    """How many whole records ``data[start:stop]`` holds."""
    count = 0
    while start < stop:
        start = otlp.record_end(data, start)
        count += 1
    return count


def _middle(data: memoryview, start: int, count: int) -> int:
    for _ in range(max(count // 2, 1)):
        start = otlp.record_end(data, start)
    return start


def ship(segment: Shippable, post: Post) -> Answer | None:
    """Post all committed records; None when all were taken, else the answer that says to wait.

    The end of a body is stored before it is sent, so a repeated body is the same body, also from another
    shipper after a crash. A body that is refused for good is halved until the bad span stands alone; that
    span is counted as rejected.
    """
    words, data = segment.words, segment.data
    while (start := words[SHIPPED]) < (stop := words[COMMITTED]):
        try:
            end, count = _next_batch(words, data, start, stop)
        except (ValueError, IndexError):
            # Unreadable from here on: damage on disk. Nothing behind it can be framed.
            words[REJECTED] += max(words[COUNT] - words[SHIPPED_COUNT] - words[REJECTED], 0)
            words[SHIPPED] = stop
            return None
        words[INFLIGHT] = end
        answer = post(otlp.request(segment.resource, bytes(data[start:end])))
        words[ATTEMPTS] += 1
        words[STATUS] = answer.status
        if 200 <= answer.status < 300:
            rejected = min(answer.rejected, count)
            # Counts first: whoever sees the segment drained then reads final counts.
            words[SHIPPED_COUNT] += count - rejected
            words[REJECTED] += rejected
            words[SHIPPED] = end
        elif answer.status not in PERMANENT:
            return answer
        elif count > 1:
            words[INFLIGHT] = _middle(data, start, count)
        else:
            words[REJECTED] += 1
            words[SHIPPED] = end
    return None


def _next_batch(
    words: MutableSequence[int] | memoryview, data: memoryview, start: int, stop: int
) -> tuple[int, int]:
    end = words[INFLIGHT]
    if start < end <= stop:
        return end, count_records(data, start, end)
    return batch_end(data, start, stop)
