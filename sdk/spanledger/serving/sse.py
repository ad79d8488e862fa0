"""A stream's bytes in any cut, whole server-sent events and their data out."""

from __future__ import annotations

import re

import orjson

# Two line ends in a row; a lone CR counts as one only when no LF follows it.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")

DONE = b"data: [DONE]\n\n"


class EventSplitter:
    """Collects bytes and gives back whole events, each with its closing blank line, unchanged."""

    def __init__(self) -> None:
        self.rest = b""
        """Bytes of an event that has not ended yet."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ended with this data, in order; joined with ``rest`` they are the input."""
        if self.rest:
            data = self.rest + data
            self.rest = b""
        if 1 < data.find(b"\n\n") + 2 == len(data) and b"\r" not in data:
            return [data]  # one event, whole: nearly always
        events: list[bytes] = []
        start = 0
        if b"\r" not in data:
            while (end := data.find(b"\n\n", start)) >= 0:
                events.append(data[start : end + 2])
                start = end + 2
        else:
            for match in _BLANK_LINE.finditer(data):
                events.append(data[start : match.end()])
                start = match.end()
        self.rest = data[start:]
        return events


def data_of(event: bytes) -> bytes:
    """The data of one event: its ``data:`` lines joined by line feeds; empty for comments and pings."""
    start = event.find(b"data:")
    if start < 0:
        return b""
    data = event[start + 5 :].strip()
    if (start == 0 or event[start - 1] in b"\r\n") and b"\n" not in data and b"\r" not in data:
        return data
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def event(data: object, name: str = "") -> bytes:
    """One server-sent event holding ``data`` as JSON, with an ``event:`` line when named."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"
