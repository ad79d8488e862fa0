"""Redis commands of many requests in, few round trips out; errors are counted and never crash the gateway.

While Redis is away every command fails at once, and one task tries to reach it again, so that no call waits for a
dead or hanging Redis a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import metrics
from .redis_wire import Argument, RedisAwayError, Taker, Wire

REDIS_DOWN = (exceptions.RedisError, OSError, TimeoutError)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


class Script:
    """A Lua script, called by its hash and sent whole only when Redis does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Sends commands of concurrent requests together, in the order of the calls."""

    def __init__(self, url: str, timeout_s: float = 1.0) -> None:
        self.client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_connect_timeout=timeout_s, max_connections=8, retry=Retry(NoBackoff(), 0)
        )
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._early: list[tuple[tuple[Argument, ...], Taker]] = []  # before the first connection
        self._is_known_down = False
        self._connecting: asyncio.Task[None] | None = None
        self._loaded: set[str] = set()  # scripts that this connection's Redis has seen

    async def call(self, *command: Argument) -> Any:
        """Run one command.

        Raises:
            RedisAwayError: no connection, no answer in time, or an error answer.
        """
        return await self.submit(*command)

    def submit(self, *command: Argument) -> asyncio.Future[Any]:
        """Queue one command; its future holds the answer or ``RedisAwayError``. Order is kept."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(command, future)
        return future

    def send(self, command: tuple[Argument, ...], taker: Taker) -> None:
        """Queue one command whose answer, or ``RedisAwayError``, goes to the taker: at once when Redis is away."""
        if self._wire is not None:
            self._wire.submit(command, taker)
        elif self._is_known_down:
            taker.set_exception(RedisAwayError("Redis is away"))
        else:
            self._early.append((command, taker))
            self._connect()

    def is_up(self) -> bool:
        """Whether Redis is believed to answer."""
        return self._wire is not None

    def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """Queue a script; as ``submit``. Its text is sent once a connection, and again where Redis forgot it."""
        return self.submit(*self._call_of(script, keys, arguments))

    def send_script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], taker: Taker
    ) -> None:
        """Queue a script; as ``send``."""
        self.send(self._call_of(script, keys, arguments), taker)

    def _call_of(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> tuple[Argument, ...]:
        if script.sha in self._loaded:
            return ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        self._loaded.add(script.sha)
        return ("EVAL", script.text, len(keys), *keys, *arguments)

    def forget_scripts(self) -> None:
        """Redis lost its scripts: send their text again."""
        self._loaded.clear()

    async def close(self) -> None:
        """Let the connections go."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        wire, self._wire = self._wire, None
        self._is_known_down = True
        if wire is not None:
            wire.close()
        await self.client.aclose()

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        """Try until Redis answers."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._take(await self._greeted())
                break
            except REDIS_DOWN as away:
                self._down(str(away) or type(away).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
        self._connecting = None

    async def _greeted(self) -> asyncio.StreamWriter:
        """A connection that the library opened: address, TLS, password, database and protocol as the URL says."""
        pool: Any = self.client.connection_pool
        connection = pool.make_connection()
        try:
            await connection.connect()
            writer, connection._writer = connection._writer, None
            return writer
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    def _take(self, writer: asyncio.StreamWriter) -> None:
        self._loaded.clear()
        self._wire = Wire(writer, self._timeout_s, self._lost)
        self._is_known_down = False
        metrics.REDIS_UP.set(1)
        early, self._early = self._early, []
        for command, future in early:
            self._wire.submit(command, future)

    def _down(self, reason: str) -> None:
        self._is_known_down = True
        metrics.REDIS_UP.set(0)
        early, self._early = self._early, []
        for _, future in early:
            if not future.done():
                future.set_exception(RedisAwayError(reason))

    def _lost(self, wire: Wire, reason: str) -> None:
        if self._wire is wire:
            self._wire = None
            self._down(reason)
            self._connect()
