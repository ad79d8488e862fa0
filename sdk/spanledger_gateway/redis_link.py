"""Redis commands of many requests in, few round trips out; errors are counted and never crash the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from . import metrics

Argument = str | bytes | int | float
REDIS_DOWN = (exceptions.RedisError, OSError, TimeoutError)

_MAX_BATCH = 256
# Its stub takes tuples of one item only.
_pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class RedisAwayError(Exception):
    """Redis did not answer; the message says why."""


class Script:
    """A Lua script, called by its hash and sent whole only when Redis does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Sends commands of concurrent requests together: one pipeline at a time, in the order of the calls."""

    def __init__(self, url: str, timeout_s: float = 1.0) -> None:
        self.client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_connect_timeout=timeout_s, max_connections=8
        )
        self._timeout_s = timeout_s
        self._connection: AbstractConnection | None = None
        self._waiting: list[tuple[Sequence[Argument], asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None
        self._down_until = 0.0
        self._loaded: set[str] = set()  # scripts that this connection's Redis has seen

    async def call(self, *command: Argument) -> Any:
        """Run one command.

        Raises:
            RedisAwayError: no connection, no answer in time, or an error answer.
        """
        return await self.submit(*command)

    def submit(self, *command: Argument) -> asyncio.Future[Any]:
        """Queue one command; its future holds the answer or ``RedisAwayError``. Order is kept."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if loop.time() < self._down_until:
            future.set_exception(RedisAwayError("Redis is away"))
            return future
        self._waiting.append((command, future))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return future

    def is_up(self) -> bool:
        """Whether Redis is believed to answer; false for a moment after it did not."""
        return asyncio.get_running_loop().time() >= self._down_until

    def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """Queue a script; as ``submit``. Its text is sent only after Redis said that it does not know it."""
        known = script.sha in self._loaded
        head = ("EVALSHA", script.sha) if known else ("EVAL", script.text)
        if not known:
            self._loaded.add(script.sha)
        return self.submit(*head, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Let the connections go."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=1)
        await self._hang_up()
        await self.client.aclose()

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            await self._send(batch)
        self._running = None

    async def _send(self, batch: list[tuple[Sequence[Argument], asyncio.Future[Any]]]) -> None:
        answers: list[Any] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange([command for command, _ in batch], answers)
        except REDIS_DOWN as away:
            # A short rest, so that requests do not each wait for the same dead connection.
            self._down_until = asyncio.get_running_loop().time() + 0.25
            metrics.REDIS_UP.set(0)
            answers += [away for _ in range(len(batch) - len(answers))]
            await self._hang_up()
        else:
            metrics.REDIS_UP.set(1)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                wrapped = RedisAwayError(str(answer) or type(answer).__name__)
                wrapped.__cause__ = answer
                future.set_exception(wrapped)
            else:
                future.set_result(answer)

    async def _exchange(self, commands: list[Sequence[Argument]], answers: list[Any]) -> None:
        """Write all commands at once, then read as many answers; a pipeline without its bookkeeping.

        One time limit around all of it stands in for one a read.
        """
        connection = self._connection
        if connection is None:
            connection = await self.client.connection_pool.get_connection()
            self._connection = connection
        packed = [_pack(tuple(command)) for command in commands]
        await connection.send_packed_command(b"".join(packed), check_health=False)
        for _ in commands:
            try:
                answers.append(await connection.read_response(disable_decoding=True, timeout=math.inf))
            except exceptions.ResponseError as wrong:
                if isinstance(wrong, exceptions.NoScriptError):
                    self._loaded.clear()
                answers.append(wrong)

    async def _hang_up(self) -> None:
        self._loaded.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self.client.connection_pool.release(connection)
