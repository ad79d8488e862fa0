"""A caller's connection in, ASGI calls out: uvicorn's HTTP protocol, cut down to what the gateway needs.

uvicorn keeps the sockets, workers, signals and shutdown; this class is given to it as ``http=``. Against its own
protocol it saves what a small answer pays for: the head leaves in one write with the body's first bytes, one
timer serves a connection instead of one a request, and an application is told of a disconnect by a callback
(the scope's extension ``DISCONNECT``) instead of a second task that waits on ``receive``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from .exchange import DISCONNECT, Exchange, Header, bare_answer

logger = logging.getLogger("spanledger.gateway")

_LARGEST_HEAD: Final = 64 << 10
_LONGEST_URL: Final = 16 << 10
_STALLED_S: Final = 60.0  # a request that has begun must go on, and a new connection must send one
_MOST_PIPELINED: Final = 32


class HttpProtocol(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.loop = _loop or asyncio.get_running_loop()
        self.state = server_state
        self.write_gate: asyncio.Future[None] | None = None
        """Set while the caller reads too slowly; done when more may be written."""
        self.is_closing = False
        self._app: Callable[..., Awaitable[None]] = cast(Any, config).loaded_app
        self._keep_alive_s = config.timeout_keep_alive
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None  # the one that is answered, or was last
        self._reading: Exchange | None = None  # the one whose body arrives
        self._pipeline: deque[Exchange] = deque()
        self._headers: list[Header] = []
        self._piece = 0  # bytes that are parsed now
        self._head_size = 0  # bytes of a head after the piece in which it begins; below 0 within that
        self._url = b""
        self._is_paused = False
        self._is_declining = False  # the parser reads a head of our own
        self._is_begun = False  # a request's first bytes are here, its last are not
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller connected."""
        self._transport = cast(asyncio.Transport, transport)
        self.state.connections.add(cast(Any, self))
        self._base: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "root_path": "",
            "server": _address(transport.get_extra_info("sockname")),
            "client": _address(transport.get_extra_info("peername")),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        }
        self._quiet_since = self.loop.time()
        self._timer = self.loop.call_later(min(self._keep_alive_s, _STALLED_S), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: whoever serves it is told."""
        self.state.connections.discard(cast(Any, self))
        self.is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        self._pipeline.clear()
        if self._current is not None:
            self._current.lost()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._quiet_since = self.loop.time()
        self._piece = len(data)
        while data and not self.is_closing:
            try:
                self._parser.feed_data(data)
                if self._is_begun and self._reading is None:
                    self._await_head()
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = self._declined() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._refuse(400, b"this is no HTTP request")
                return

    def pause_writing(self) -> None:
        """The caller reads more slowly than we write."""
        if self.write_gate is None:
            self.write_gate = self.loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        gate, self.write_gate = self.write_gate, None
        if gate is not None and not gate.done():
            gate.set_result(None)

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_begun = True
        self._headers = []
        self._head_size = -self._piece
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._url += url
        if len(self._url) > _LONGEST_URL:
            self._refuse(414, b"the address is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: the application starts, or the request stands in line behind the one before."""
        if self.is_closing or self._is_declining:
            self._is_declining = False
            return
        is_large = self._head_size >= 0 or self._piece > _LARGEST_HEAD
        if is_large and self._headers_size() > _LARGEST_HEAD:
            self._refuse(431, b"the headers are too large")
            return
        version = self._parser.get_http_version()
        exchange = Exchange(
            self,
            self._transport,
            self._scope(version),
            keep_alive=version == "1.1" and self._parser.should_keep_alive(),
        )
        self._reading = exchange
        if self._current is None or self._current.is_over:
            self._start(exchange)
        elif len(self._pipeline) >= _MOST_PIPELINED:
            self._refuse(400, b"too many requests at once on one connection")
        else:
            self._pipeline.append(exchange)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        """The body is whole, or has not begun where the parser takes it for another protocol."""
        if self._parser.should_upgrade():
            return
        self._is_begun = False
        if self._reading is not None:
            self._reading.fed()
            self._reading = None

    # For exchanges

    def pause_reading(self) -> None:
        """Take no more for now."""
        if not self._is_paused and not self.is_closing:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more."""
        if self._is_paused and not self.is_closing:
            self._is_paused = False
            self._transport.resume_reading()

    def over(self, exchange: Exchange) -> None:
        """An exchange was answered: close, or go on with the next."""
        self.state.total_requests += 1
        if not exchange.keep_alive:
            self.close()
        elif self._pipeline:
            self._start(self._pipeline.popleft())
        else:
            self._quiet_since = self.loop.time()
            self.resume_reading()

    def done(self, exchange: Exchange) -> None:
        """Nothing more comes of an exchange; uvicorn waits for those of which something may."""
        if exchange.task is not None:
            self.state.tasks.discard(exchange.task)

    def close(self) -> None:
        """Hang up, once all that was written has left."""
        self.is_closing = True
        self._transport.close()

    # For uvicorn

    def shutdown(self) -> None:
        """The server stops: hang up now, or after the answer under way."""
        if self._current is None or self._current.is_over:
            self.close()
        else:
            self._current.keep_alive = False
            self._pipeline.clear()

    # Inside

    def _scope(self, version: str) -> dict[str, Any]:
        """ASGI's description of the request.

        Raises:
            HttpParserInvalidURLError: its target is none.
        """
        if self._url.startswith(b"/"):
            raw_path, _, query = self._url.partition(b"?")
        else:
            url = httptools.parse_url(self._url)
            raw_path, query = url.path or b"/", url.query or b""
        path = raw_path.decode("ascii", "replace")
        return {
            **self._base,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
        }

    def _await_head(self) -> None:
        """A head is not whole yet: refuse it once it is too large, be it for one header without an end."""
        self._head_size += self._piece
        if self._head_size > _LARGEST_HEAD:
            self._refuse(431, b"the headers are too large")

    def _headers_size(self) -> int:
        return sum(len(name) + len(value) + 32 for name, value in self._headers)

    def _declined(self) -> bytes:
        """Go on in HTTP/1.1 after a request that offers another protocol, as a server may: what a parser that was
        offered nothing must read before the request's body.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._is_declining = True
        framing = [
            b"%b: %b\r\n" % (name, value)
            for name, value in self._headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing)

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        exchange.scope["extensions"] = {DISCONNECT: exchange.on_disconnect}
        task = exchange.task = self.loop.create_task(exchange.run(self._app))
        self.state.tasks.add(task)

    def _refuse(self, status: int, message: bytes) -> None:
        """Answer what no application should see, and hang up."""
        if self.is_closing:
            return
        if self._current is None or self._current.is_over:
            self._transport.write(bare_answer(status, message))
        self.close()

    def _look(self) -> None:
        """Hang up when nothing has come for too long and nothing is being served; else look again later."""
        if self._is_begun and not self._is_paused:
            limit = _STALLED_S
        elif self._current is None or self._current.is_over:
            limit = _STALLED_S if self._current is None else self._keep_alive_s
        else:
            limit = 0.0  # it is being answered
        left = self._quiet_since + limit - self.loop.time()
        if limit and left <= 0:
            self.close()
        else:
            self._timer = self.loop.call_later(left if limit else self._keep_alive_s, self._look)


def _address(name: object) -> tuple[str, int] | None:
    """Host and port of a socket's name; None for a Unix socket."""
    if isinstance(name, tuple):
        parts = cast(tuple[Any, ...], name)
        return str(parts[0]), int(parts[1])
    return None
