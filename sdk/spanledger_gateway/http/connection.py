"""One connection to an upstream: one request at a time, HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Final, cast

import httptools

from .errors import BrokenAnswerError
from .response import Response

_LARGEST_HEAD: Final = 128 << 10
_TOO_LARGE: Final = "the answer's headers are too large"


class Connection(asyncio.Protocol):
    """Sends a request, gives its response. ``idle`` is called with it when the next request may come."""

    __slots__ = (
        "_asking",
        "_buffered",
        "_ends_with_connection",
        "_headers",
        "_idle",
        "_is_informational",
        "_loop",
        "_may_keep",
        "_pairs",
        "_parser",
        "_response",
        "_size",
        "_transport",
        "idle_until",
        "is_usable",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: Callable[[Connection], None]) -> None:
        self.is_usable = False
        """Whether another request may be sent."""
        self.idle_until = 0.0
        """When it will have been idle for too long; kept by the pool."""
        self._loop = loop
        self._idle = idle
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpResponseParser(self)
        self._asking: asyncio.Future[Response] | None = None
        self._response: Response | None = None
        self._pairs: list[tuple[bytes, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._size = 0  # of what came of an answer
        self._is_informational = False
        self._may_keep = False
        self._ends_with_connection = False

    async def send(self, request: bytes) -> Response:
        """Send a whole request and wait for the head of its answer. Cancelling it closes the connection.

        Raises:
            BrokenAnswerError: the connection ended, or brought no HTTP, before the head was whole.
        """
        self.is_usable = False
        self._size = 0
        asking = self._asking = self._loop.create_future()
        self._transport.write(request)
        try:
            return await asking
        except BaseException:
            self.abort("given up")
            raise

    @property
    def keeps_for_s(self) -> float | None:
        """How long the upstream says it keeps an idle connection; None when it does not say."""
        told = self._headers.get(b"keep-alive")
        if told is None:
            return None
        for part in told.split(b","):
            name, _, value = part.partition(b"=")
            if name.strip().lower() == b"timeout" and value.strip().isdigit():
                return float(value)
        return None

    def release(self, response: Response, *, may_keep: bool) -> None:
        """The reader is done with the response."""
        if response is not self._response:
            return  # it was done with before: the connection may be another request's by now
        is_clean = response.at_end and self._may_keep and not self._ends_with_connection
        if may_keep and is_clean and not self._transport.is_closing():
            self._response = None
            self.is_usable = not self._transport.get_write_buffer_size()
            self._idle(self)
        else:
            self.abort("closed by the reader")

    def abort(self, reason: str) -> None:
        """Close at once; whoever waits gets an error."""
        self.is_usable = False
        if self._transport is not None and not self._transport.is_closing():  # pyright: ignore[reportUnnecessaryComparison]
            self._transport.abort()
        self._fail(BrokenAnswerError(reason))

    def pause(self) -> None:
        """The reader is slower than the upstream."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """It has caught up."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        if self._asking is None and self._response is None:
            self.abort("the upstream spoke without being asked")
            return
        try:
            self._size += len(data)
            self._parser.feed_data(data)
            if self._size > _LARGEST_HEAD and self._asking is not None:
                self.abort(_TOO_LARGE)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as wrong:
            cause = wrong.__context__  # what a callback raised
            is_ours = isinstance(cause, BrokenAnswerError)
            self.abort(str(cause) if is_ours else f"the upstream sent what is no HTTP: {wrong}")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by either side."""
        self.is_usable = False
        response = self._response
        if exc is None and response is not None and self._ends_with_connection:
            self._ends_with_connection = False
            response.complete()
        self._fail(BrokenAnswerError(f"the connection broke off: {exc}" if exc else "the upstream hung up"))

    def eof_received(self) -> bool:
        """The upstream will send no more: the transport closes, ``connection_lost`` says what it means."""
        return False

    # httptools

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._response is not None:
            raise BrokenAnswerError("the upstream sent a second answer to one request")
        self._pairs = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._pairs.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        status = self._parser.get_status_code()
        self._is_informational = status < 200
        asking = self._asking
        if self._is_informational or asking is None:
            return
        if self._size > _LARGEST_HEAD and sum(map(len, chain(*self._pairs))) > _LARGEST_HEAD:
            raise BrokenAnswerError(_TOO_LARGE)
        headers = self._headers = dict(self._pairs)
        self._response = response = Response(self, status, headers)
        self._asking = None
        self._ends_with_connection = (
            b"content-length" not in headers
            and b"transfer-encoding" not in headers
            and status not in (204, 304)
        )
        if not asking.done():
            asking.set_result(response)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._response is not None:
            self._response.feed(body)

    def on_message_complete(self) -> None:
        """The answer is whole; 100 Continue and its like announce the answer and are none."""
        if self._response is not None and not self._is_informational:
            self._may_keep = self._parser.should_keep_alive()  # the parser forgets it after this
            self._response.complete()

    def _fail(self, error: BrokenAnswerError) -> None:
        asking, self._asking = self._asking, None
        response, self._response = self._response, None
        if asking is not None and not asking.done():
            asking.set_exception(error)
        if response is not None:
            response.fail(error)
