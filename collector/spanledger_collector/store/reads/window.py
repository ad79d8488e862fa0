"""A span of time, and the width of its buckets: pure arithmetic on nanoseconds, UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400)


@dataclass(frozen=True, slots=True)
class Window:
    """``start`` (inclusive) to ``end`` (exclusive), in nanoseconds since the epoch, UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"a window ends after it starts: start={self.start} end={self.end}")

    @property
    def length(self) -> int:
        """Nanoseconds from start to end."""
        return self.end - self.start

    def before(self) -> Window:
        """The window of the same length that ends where this one starts."""
        return Window(self.start - self.length, self.start)

    def step_s(self, points: int = 60) -> int:
        """The bucket width in seconds that gives at most about ``points`` buckets."""
        wanted = self.length / SECOND / points
        return next((step for step in _STEPS_S if step >= wanted), _STEPS_S[-1])

    def buckets(self, step_s: int) -> Iterator[int]:
        """Starts of the buckets that touch the window, as Unix seconds aligned to ``step_s``."""
        first = self.start // SECOND // step_s * step_s
        return iter(range(first, -(-self.end // SECOND), step_s))

    def whole(self, unit: int) -> bool:
        """Whether it starts and ends where a ``DAY`` or an ``HOUR`` does, so that sums by these tell all of it."""
        return self.start % unit == 0 and self.end % unit == 0

    def bound(self) -> dict[str, int]:
        """The parameters ``start`` and ``end`` that ``IN_SPANS`` and ``IN_TIME`` bind."""
        return {"start": self.start, "end": self.end}


IN_SPANS = (
    "start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC')"
    " AND start_time < fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
)
"""The condition on ``spans`` that goes with ``Window.bound``."""

IN_TIME = "time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') AND time < fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
"""The same for ``scores`` and ``events``."""

IN_DAYS = (
    "day >= toDate(fromUnixTimestamp64Nano({start:Int64}, 'UTC'))"
    " AND day < toDate(fromUnixTimestamp64Nano({end:Int64}, 'UTC'))"
)
"""The same for sums by day, of a window of whole days."""

IN_HOURS = (
    "hour >= toDateTime(fromUnixTimestamp64Nano({start:Int64}, 'UTC'), 'UTC')"
    " AND hour < toDateTime(fromUnixTimestamp64Nano({end:Int64}, 'UTC'), 'UTC')"
)
"""The same for sums by hour, of a window of whole hours."""


def bucket(time: str) -> str:
    """The start of the bucket of ``step`` seconds, a bound parameter, that a column of times lies in: Unix seconds."""
    return f"toUnixTimestamp(toStartOfInterval({time}, toIntervalSecond({{step:UInt32}}), 'UTC'))"
