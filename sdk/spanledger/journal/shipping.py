"""Posting a segment's records: decides batches, retries and splits; what it is given posts the bytes."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from typing import NamedTuple, Protocol

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
    """The end and span count of the next batch in ``data[start:stop]``; at least one frame.

    Raises:
        ValueError: there is no frame at ``start``.
    """
    end, count = frames.frame_end(data, start, stop), 1
    while end < stop and count < BATCH_SPANS:
        following = frames.frame_end(data, end, stop)
        if following - start > BATCH_BYTES:
            break
        end, count = following, count + 1
    return end, count


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


def records(data: memoryview, start: int, stop: int) -> tuple[list[bytes], int]:
    """The OTLP records of the frames in ``data[start:stop]``, and how many frames were damaged."""
    found, damaged = list[bytes](), 0
    while start < stop:
        end = frames.frame_end(data, start, stop)
        try:
            found.append(frames.record_of(bytes(data[start + 4 : end])))
        except (ValueError, EOFError, TypeError, AttributeError, IndexError, KeyError):
            damaged += 1
        start = end
    return found, damaged


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
            end, count = _next_batch(words, data, start, stop)
        except ValueError:
            # Unreadable from here on: damage on disk. Nothing behind it can be framed.
            words[REJECTED] += max(words[COUNT] - words[SHIPPED_COUNT] - words[REJECTED], 0)
            words[SHIPPED] = stop
            return None
        words[INFLIGHT] = end
        found, damaged = records(data, start, end)
        answer = post(otlp.request(segment.resource, b"".join(found))) if found else Answer(200)
        words[ATTEMPTS] += 1
        words[STATUS] = answer.status
        if 200 <= answer.status < 300:
            rejected = min(answer.rejected + damaged, count)
            # Counts first: whoever sees the segment drained then reads final counts.
            words[SHIPPED_COUNT] += count - rejected
            words[REJECTED] += rejected
            words[SHIPPED] = end
        elif answer.status not in PERMANENT:
            return answer
        elif count > 1:
            words[INFLIGHT] = _middle(data, start, end, count)
        else:
            words[REJECTED] += 1
            words[SHIPPED] = end
    return None


def _next_batch(
    words: MutableSequence[int] | memoryview, data: memoryview, start: int, stop: int
) -> tuple[int, int]:
    end = words[INFLIGHT]
    if start < end <= stop:
        return end, count_frames(data, start, end)
    return batch_end(data, start, stop)
