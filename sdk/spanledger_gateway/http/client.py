"""Requests to upstreams in, open answers out: a pool of connections, and names resolved and guarded.

Why not a library: with 64 requests in flight aiohttp costs 65 us of CPU a request and this 15.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, cast

import aiohappyeyeballs  # aiohttp's own way to try a name's addresses

from .connection import Connection
from .errors import ConnectError
from .response import Response

# Shorter than uvicorn's five seconds, which vLLM keeps, so that we never write into a connection being closed.
_KEEP_ALIVE_S: Final = 4.0
_RESOLVED_S: Final = 30.0
_MOST_NAMES: Final = 4096
_SECOND_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
_start_connection = cast(
    Callable[..., Awaitable[socket.socket]], cast(Any, aiohappyeyeballs).start_connection
)


class Origin(NamedTuple):
    """Where to connect. ``is_guarded`` origins are asked only at addresses that the client's guard lets pass."""

    scheme: str
    host: str
    port: int
    is_guarded: bool


class Client:
    """Sends requests. ``guard`` gets (host, address) of each address of a guarded name, and raises an OSError."""

    def __init__(self, connect_timeout_s: float, guard: Callable[[str, str], None]) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._guard = guard
        self._idle: dict[Origin, list[Connection]] = {}
        self._resolved: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, origin: Origin, request: bytes) -> Response:
        """Send a whole request; the answer's head has arrived on return. Cancelling it closes the connection.

        Raises:
            ConnectError: no connection could be made.
            BrokenAnswerError: the connection broke before the answer's head was whole.
            OSError: what the guard raised.
        """
        connection = self._reused(origin) or await self._opened(origin)
        return await connection.send(request)

    async def close(self) -> None:
        """Close all idle connections, and keep none from now on."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort("closing")
        self._idle.clear()

    def _reused(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one used last is the surest to be open
            if connection.is_usable:
                return connection
        return None

    async def _opened(self, origin: Origin) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                found = await self._addresses(origin)
                if origin.is_guarded:
                    for info in found:
                        self._guard(origin.host, str(info[4][0]))
                return await self._connected(origin, found)
        except TimeoutError as late:
            raise ConnectError(f"connecting to {origin.host}:{origin.port} took too long") from late

    async def _connected(self, origin: Origin, found: list[AddressInfo]) -> Connection:
        loop = asyncio.get_running_loop()
        is_tls = origin.scheme == "https"
        try:
            sock = await _start_connection(
                found, happy_eyeballs_delay=_SECOND_ADDRESS_AFTER_S, interleave=1, loop=loop
            )
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(loop, lambda idle: self._keep(origin, idle)),
                sock=sock,
                ssl=self._context() if is_tls else None,
                server_hostname=origin.host if is_tls else None,
            )
        except OSError as wrong:
            raise _unreachable(origin, wrong) from wrong
        return connection

    async def _addresses(self, origin: Origin) -> list[AddressInfo]:
        loop = asyncio.get_running_loop()
        name = origin.host, origin.port
        until, found = self._resolved.get(name, (0.0, []))
        if until <= loop.time():
            try:
                found = await loop.getaddrinfo(*name, type=socket.SOCK_STREAM)
            except OSError as wrong:
                raise _unreachable(origin, wrong) from wrong
            if len(self._resolved) >= _MOST_NAMES:
                self._resolved.clear()
            self._resolved[name] = loop.time() + _RESOLVED_S, found
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _keep(self, origin: Origin, connection: Connection) -> None:
        told = connection.keeps_for_s
        keep_s = _KEEP_ALIVE_S if told is None else min(_KEEP_ALIVE_S, told - 1.0)
        if self._is_closed or keep_s <= 0 or not connection.is_usable:
            connection.abort("closing")
            return
        loop = asyncio.get_running_loop()
        connection.idle_until = loop.time() + keep_s
        self._idle.setdefault(origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(1.0, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for origin, idle in list(self._idle.items()):
            kept: list[Connection] = []
            for connection in idle:
                if connection.is_usable and connection.idle_until > now:
                    kept.append(connection)
                else:
                    connection.abort("idle for too long")
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        self._sweeper = loop.call_later(1.0, self._sweep) if self._idle else None


def _unreachable(origin: Origin, wrong: OSError) -> ConnectError:
    return ConnectError(f"no connection to {origin.host}:{origin.port}: {wrong}")
