"""An upstream's answer: the head is here, the body arrives. One reader; the connection goes back only from here."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from .errors import BrokenAnswerError

if TYPE_CHECKING:
    from .connection import Connection

_MOST_BUFFERED: Final = 1 << 20
_LARGEST: Final = 256 << 20
_INFLATE: Final = 32 + zlib.MAX_WBITS  # gzip and zlib, whichever it is
_PIECE: Final = 1 << 18  # bytes inflated at once: a small body must not grow without bound


class Inflater(Protocol):
    """What ``zlib.decompressobj`` gives."""

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """What is left because of the limit."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of what is compressed in ``data``."""
        ...


class Response:
    """Read by whoever asked. ``release`` or ``close`` must follow, whatever happened."""

    __slots__ = (
        "_connection",
        "_error",
        "_inflater",
        "_is_complete",
        "_is_paused",
        "_most_buffered",
        "_pieces",
        "_size",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        """By lower-case name; of several with one name the last holds."""
        self._connection = connection
        self._pieces: list[bytes] = []
        self._size = 0
        self._most_buffered = _MOST_BUFFERED
        self._waiter: asyncio.Future[None] | None = None
        self._error: BrokenAnswerError | None = None
        self._is_complete = False
        self._is_paused = False
        encoding = headers.get(b"content-encoding")
        self._inflater = None if encoding is None else _inflater(encoding.strip().lower())

    def header(self, name: bytes) -> str:
        """A header's value; empty when there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._is_complete and not self._pieces

    async def read(self, largest: int = _LARGEST) -> bytes:
        """The whole body.

        Raises:
            BrokenAnswerError: it broke off, or is larger than ``largest`` bytes.
        """
        self._most_buffered = largest
        self._resume()
        while not self._is_complete and self._size <= largest:
            await self._more()
        if self._size > largest:
            raise BrokenAnswerError(f"the answer is larger than {largest} bytes")
        return self._taken()

    async def readany(self) -> bytes:
        """The next bytes of the body; none at its end.

        Raises:
            BrokenAnswerError: it broke off.
        """
        while not self._pieces and not self._is_complete:
            await self._more()
        return self._taken()

    def release(self) -> None:
        """Give the connection back for others when all was read; else close it."""
        self._connection.release(self, may_keep=True)

    def close(self) -> None:
        """Close the connection, if it is still this response's; a reader that waits gets an error."""
        self._connection.release(self, may_keep=False)

    # From the connection

    def feed(self, data: bytes) -> None:
        """A part of the body."""
        if self._inflater is not None:
            self._inflate(data)
        else:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > self._most_buffered and not self._is_paused:
            self._is_paused = True
            self._connection.pause()
        self._wake()

    def complete(self) -> None:
        """That was all."""
        if self._inflater is not None and not self._inflater.eof:
            self.fail(BrokenAnswerError("the answer's compressed body ends too early"))
            return
        self._is_complete = True
        self._wake()

    def fail(self, error: BrokenAnswerError) -> None:
        """There will be no more, and it is not whole. What arrived before can still be read."""
        self._error = error
        self._wake()

    # Inside

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        self._resume()
        return data

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._connection.resume()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _inflate(self, data: bytes) -> None:
        inflater = self._inflater
        assert inflater is not None
        try:
            while data and self._size <= _LARGEST:
                piece = inflater.decompress(data, _PIECE)
                self._pieces.append(piece)
                self._size += len(piece)
                data = inflater.unconsumed_tail
            if data:
                raise BrokenAnswerError(f"the answer is larger than {_LARGEST} bytes")
        except zlib.error as wrong:
            raise BrokenAnswerError(f"the answer's compression is damaged: {wrong}") from wrong


def _inflater(encoding: bytes) -> Inflater | None:
    if encoding in (b"", b"identity"):
        return None
    if encoding in (b"gzip", b"x-gzip", b"deflate"):
        return zlib.decompressobj(_INFLATE)
    raise BrokenAnswerError(f"the answer is encoded as {encoding.decode('latin-1')}, which nobody asked for")
