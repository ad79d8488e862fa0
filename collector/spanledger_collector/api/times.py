"""Times as callers write them in; nanoseconds since the epoch out. The clock is passed in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_NS = 10**9
LATEST = 2**63 - 1
EARLIEST = 0
FIRST_DAY, LAST_DAY = date(1971, 1, 1), date(2148, 12, 31)
"""Days and months that the store holds (1970 to June 2149), with those beside them."""


def _written_day(value: object) -> object:
    """Pydantic takes numbers for days since the epoch; people who send one mean something else."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return value
    raise ValueError("write a day as 2026-11-25")


Day = Annotated[
    date,
    BeforeValidator(_written_day),
    Field(ge=FIRST_DAY, le=LAST_DAY),
]
"""A day that a caller gives."""


def moment(text: str, now: int) -> int:
    """``2026-11-25``, ``2026-11-25T12:00:00Z``, ``24h`` (that long ago), ``now``, or nanoseconds.

    Raises:
        ValueError: it is none of these, or lies outside 1970 to 2262.
    """
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return max(EARLIEST, now - int(ago[1]) * _UNITS[ago[2]] * _NS)
    if text.isascii() and text.isdigit() and len(text) > 8:
        return _in_range(int(text))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write 2026-11-25, 2026-11-25T12:00:00Z, 24h, now or nanoseconds"
        ) from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return _in_range((since.days * 86400 + since.seconds) * _NS + since.microseconds * 1000)


def _in_range(ns: int) -> int:
    if not EARLIEST <= ns <= LATEST:
        raise ValueError("a time lies between 1970 and 2262")
    return ns
