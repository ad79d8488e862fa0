"""Writes in; the bytes written since the last look out: a file that is sent while it is made."""

from __future__ import annotations

import io
from typing import Any


class Pieces(io.RawIOBase):
    """A file that can only be written, and gives up what was written."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep a copy until it is drained."""
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def drained(self) -> bytes:
        """What was written since the last time."""
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece
