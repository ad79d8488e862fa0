"""One request and its answer: ASGI's ``receive`` and ``send`` for an application, bytes for the connection."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .server import HttpProtocol

logger = logging.getLogger("spanledger.gateway")

Header = tuple[bytes, bytes]

DISCONNECT: Final = "spanledger.disconnect"
"""The scope's extension: a function that takes a callback for when the caller goes away, or None."""

_MOST_BUFFERED: Final = 256 << 10
_NO_BODY: Final = frozenset({204, 304})
_PAST: Final[dict[str, Any]] = {}  # what is left of a request that was served


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES: Final = {status: _status_line(status) for status in range(200, 600)}


class Exchange:
    """What an ASGI application reads a request from and writes its answer to."""

    __slots__ = (
        "_body",
        "_expects_continue",
        "_head",
        "_is_chunked",
        "_is_delivered",
        "_is_gone",
        "_is_received",
        "_on_gone",
        "_protocol",
        "_size",
        "_status",
        "_transport",
        "_waiter",
        "is_over",
        "keep_alive",
        "scope",
        "task",
    )

    def __init__(
        self,
        protocol: HttpProtocol,
        transport: asyncio.Transport,
        scope: dict[str, Any],
        *,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self.is_over = False
        """Whether the answer was given, or nobody is left to take it."""
        self._protocol = protocol
        self._transport = transport
        self._body: list[bytes] = []
        self._size = 0
        self._is_received = False  # the whole body is here
        self._is_delivered = False  # and the application has it
        self._is_gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._status = 0
        self._head: Iterable[Header] | None = None  # not yet written
        self._is_chunked = False
        self._expects_continue = dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue"

    async def run(self, app: Callable[..., Awaitable[None]]) -> None:
        """Let the application answer. What it leaves unanswered is a fault of ours."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            logger.exception("an answer to %s failed", self.scope["path"])
        finally:
            self._protocol.done(self)
            # They name this exchange, as it names them: a circle that only a collection would find.
            self.task, self.scope = None, _PAST
        if self.is_over:
            return
        if self._status and self._head is None:
            self.keep_alive = False  # an answer that broke off must not look whole
            self._transport.close()
        else:
            self._transport.write(bare_answer(500, b"the server failed"))
            self.keep_alive = False
        self._over()

    # From the connection

    def feed(self, body: bytes) -> None:
        """A part of the body arrived; dropped when the answer was given without it."""
        if self.is_over:
            return
        self._body.append(body)
        self._size += len(body)
        if self._size > _MOST_BUFFERED:
            self._protocol.pause_reading()
        self._wake()

    def fed(self) -> None:
        """The body is whole."""
        self._is_received = True
        self._wake()

    def lost(self) -> None:
        """The caller is gone."""
        self._is_gone = self.is_over = True
        self._wake()
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # To the application

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call this when the caller goes away (at once if it has); None takes it back."""
        if callback is not None and self._is_gone:
            callback()
        else:
            self._on_gone = callback

    async def receive(self) -> dict[str, Any]:
        """ASGI: the next part of the body, or the disconnect."""
        if self._expects_continue and not self._is_received:
            self._expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self._is_delivered or not (self._body or self._is_received):
            if self.is_over:
                return {"type": "http.disconnect"}
            self._waiter = self._protocol.loop.create_future()
            await self._waiter
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        self._is_delivered = self._is_received
        if not self._is_received:
            self._protocol.resume_reading()
        return {"type": "http.request", "body": body, "more_body": not self._is_received}

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI: the head, or a part of the body. Does nothing once the caller is gone.

        Raises:
            RuntimeError: a message out of turn.
        """
        if self._is_gone:
            return
        if message["type"] == "http.response.start":
            if self._status:
                raise RuntimeError("the answer has begun already")
            self._status, self._head = message["status"], message.get("headers", ())
            return
        if self.is_over or not self._status:
            raise RuntimeError(f"{message['type']} is out of turn")
        self._write(message.get("body", b""), message.get("more_body", False))
        if self.is_over:
            self._over()
        elif self._protocol.write_gate is not None:
            await asyncio.shield(self._protocol.write_gate)

    def _write(self, body: bytes, more: bool) -> None:
        out: list[bytes] = []
        if self._head is not None:
            out.append(self._head_bytes(self._head, None if more else len(body)))
            self._head = None
        if self.scope["method"] == "HEAD" or self._status in _NO_BODY:
            pass
        elif self._is_chunked:
            if body:
                out.append(b"%x\r\n%b\r\n" % (len(body), body))
            if not more:
                out.append(b"0\r\n\r\n")
        else:
            out.append(body)
        self.is_over = not more
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _head_bytes(self, headers: Iterable[Header], length: int | None) -> bytes:
        pairs = [*self._protocol.state.default_headers, *headers]
        head = _STATUS_LINES[self._status] + b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        if head.count(b"\n") != len(pairs) + 1 or head.count(b"\r") != len(pairs) + 1:
            raise RuntimeError("a header holds a line break")
        is_framed = b"\ncontent-length:" in head or b"\ntransfer-encoding:" in head
        if not is_framed and self._status not in _NO_BODY:
            head += self._framing(length)
        return head + (b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")

    def _framing(self, length: int | None) -> bytes:
        if length is not None:
            return b"content-length: %d\r\n" % length
        if self.scope["http_version"] == "1.1":
            self._is_chunked = True
            return b"transfer-encoding: chunked\r\n"
        self.keep_alive = False
        return b""

    def _over(self) -> None:
        self.is_over = True
        self._body.clear()
        self._on_gone = None
        self._wake()  # whoever waits for a disconnect learns that nothing more comes
        self._protocol.over(self)


def bare_answer(status: int, message: bytes) -> bytes:
    """A whole answer for what no application sees; the connection closes after it."""
    return b"%bcontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
        _STATUS_LINES[status],
        len(message),
        message,
    )
