"""Time as the workers use it: integer nanoseconds since the epoch, UTC."""

from __future__ import annotations

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def seconds(amount: float) -> int:
    """Seconds as nanoseconds."""
    return round(amount * SECOND)
