"""W3C trace context: the ``traceparent`` header in and out of 16- and 8-byte ids."""

from __future__ import annotations

from typing import NamedTuple

HEADER = "traceparent"
SAMPLED = 0x01
_HEX = frozenset("0123456789abcdef")


class Parent(NamedTuple):
    """The caller's span as its ``traceparent`` names it."""

    trace_id: bytes
    span_id: bytes
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        """Whether the caller records this trace."""
        return bool(self.flags & SAMPLED)


def parse(header: str | None) -> Parent | None:
    """Read a ``traceparent`` value; None when it is absent or breaks W3C Trace Context level 1.

    >>> parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    >>> parse("00-00000000000000000000000000000000-b7ad6b7169203331-01") is None
    True
    """
    parts = (header or "").strip().split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    version, trace_id, span_id, flags = parts[:4]
    if not _HEX.issuperset(version + trace_id + span_id + flags):
        return None
    # A future version may carry more fields; version 00 may not, and ff is forbidden.
    if version == "ff" or (version == "00" and len(parts) != 4):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Parent(bytes.fromhex(trace_id), bytes.fromhex(span_id), int(flags, 16))


def format(trace_id: bytes, span_id: bytes, *, sampled: bool = True) -> str:
    """Write a ``traceparent`` value for a request made under this span.

    >>> format(bytes(15) + b"1", bytes(7) + b"2")
    '00-00000000000000000000000000000031-0000000000000032-01'
    """
    return f"00-{trace_id.hex()}-{span_id.hex()}-{'01' if sampled else '00'}"
