"""What a worker thread tells about an answer in; ASGI messages out, with back-pressure both ways."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from .codec import choose_encoding, compressor
from .errors import EngineError
from .request import Head
from .runner import Gone, Summary

_AHEAD = 8  # pieces a worker may be ahead of a slow client
_PACK = 64 * 1024  # bytes of pieces that travel together at most

Piece = tuple[str | None, Summary] | bytes | EngineError | None
"""The head, then pieces of the body, then None; an error at any place."""


class Answer:
    """One answer on its way from a worker thread (``start``, ``send``, ``end``) to the event loop (``next``).

    Waking the loop costs more than a small piece does, so pieces travel together where nobody waits for them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[Piece] = deque()
        self._wake = asyncio.Event()
        self._packed: list[Piece] = []
        self._packed_bytes = 0
        self._room = threading.Semaphore(_AHEAD)
        self._gone = False
        self.ended = False
        """Whether the worker is done and ``next`` gave its last word."""

    def start(self, output_format: str | None, summary: Summary) -> None:
        """See ``runner.Sink``."""
        self._packed.append((output_format, summary))

    def send(self, data: bytes) -> None:
        """See ``runner.Sink``; waits while the client is ``_AHEAD`` pieces behind."""
        if not self._room.acquire(blocking=False):
            self.flush()  # what is packed is what the client must have before there is room
            self._room.acquire()
        self._packed.append(data)
        self._packed_bytes += len(data)
        if self._packed_bytes >= _PACK:
            self.flush()

    def flush(self) -> None:
        """See ``runner.Sink``."""
        if self._gone:
            raise Gone
        self._deliver()

    def end(self, error: EngineError | None = None) -> None:
        """No more pieces; with an error, after or instead of them. Never raises."""
        self._packed.append(error)
        self._deliver()

    def leave(self) -> None:
        """The client is away: wake a waiting worker, and let it raise ``Gone``."""
        self._gone = True
        self._room.release()

    async def next(self) -> Piece:
        """The next piece, in order."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        piece = self._arrived.popleft()
        if isinstance(piece, bytes):
            self._room.release()
        elif not isinstance(piece, tuple):
            self.ended = True
        return piece

    async def drain(self) -> None:
        """Drop what is left until the worker is done."""
        while not self.ended:
            await self.next()

    def _deliver(self) -> None:
        packed, self._packed, self._packed_bytes = self._packed, [], 0
        self._loop.call_soon_threadsafe(self._take, packed)

    def _take(self, packed: list[Piece]) -> None:
        self._arrived.extend(packed)
        self._wake.set()


class Reply:
    """Writes one answer as ASGI messages."""

    def __init__(self, head: Head, query_id: str, send: Any) -> None:
        self._send = send
        self.query_id = query_id
        self._tag = secrets.token_hex(8)
        wants = head.params.get("enable_http_compression") == "1"
        self._encoding = choose_encoding(head.headers.get("accept-encoding", "")) if wants else ""
        self._compressor = compressor("")
        self.started = False

    async def write(self, answer: Answer) -> None:
        """Write all of an answer; raises its ``EngineError``, or ``Gone`` when it has no head."""
        while (piece := await answer.next()) is not None:
            if isinstance(piece, EngineError):
                raise piece
            if isinstance(piece, bytes):
                await self.piece(piece)
            else:
                await self.start(*piece)
        if not self.started:
            raise Gone
        await self.finish()

    async def start(self, output_format: str | None, summary: Summary) -> None:
        """Status 200 and the headers; nothing is on the wire before this."""
        headers = {"x-clickhouse-summary": summary.as_header(), "x-clickhouse-exception-tag": self._tag}
        if output_format is not None:
            headers["x-clickhouse-format"] = output_format
            headers["content-type"] = "text/plain; charset=UTF-8"
            if self._encoding:
                headers["content-encoding"] = self._encoding
                self._compressor = compressor(self._encoding)
        await self._start(200, headers)

    async def piece(self, data: bytes) -> None:
        """The next bytes of the body."""
        if self._compressor is not None:
            data = self._compressor.compress(data)
        if data:
            await self._body(data, more=True)

    async def finish(self) -> None:
        """The end of a body that is complete."""
        await self._body(self._compressor.flush() if self._compressor is not None else b"", more=False)

    async def fail(self, error: EngineError) -> None:
        """Refuse with a status, or, where the head is out already, with ClickHouse's marked block."""
        if self.started:
            # The body is left without its end on purpose: a client that does not know the mark sees it cut.
            await self.piece(_marked(error, self._tag))
            if self._compressor is not None:
                await self._body(self._compressor.flush(), more=True)
            return
        text = error.text.encode() + b"\n"
        headers = {
            "x-clickhouse-exception-code": str(error.code),
            "content-type": "text/plain; charset=UTF-8",
            "content-length": str(len(text)),
        }
        await self._start(error.status, headers)
        await self._body(text, more=False)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        common = {
            "x-clickhouse-query-id": self.query_id,
            "x-clickhouse-timezone": "UTC",
            "x-clickhouse-server-display-name": "spanledger",
        }
        pairs = [(name.encode(), value.encode()) for name, value in (common | dict(headers)).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def plain(send: Any, status: int, body: bytes) -> None:
    """Answer without a statement."""
    headers = [(b"content-type", b"text/plain; charset=UTF-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _marked(error: EngineError, tag: str) -> bytes:
    text = error.text.encode()
    head = f"\r\n__exception__\r\n{tag}\r\n".encode()
    return head + text + f"\n{len(text)} {tag}\r\n__exception__\r\n".encode()
