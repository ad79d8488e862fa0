"""One connection to Redis: commands out in the order of the calls, all of a turn in one write; answers in, each to who waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis

from . import metrics

_GRACE_S = 0.05
_UNUSUAL = (Exception, hiredis.PushNotification)

Argument = str | bytes | int | float

# Their stubs know tuples of one item, and no answers.
_pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class RedisAwayError(Exception):
    """Redis did not answer; the message says why."""


class UnknownScriptError(RedisAwayError):
    """Redis has forgotten a script: its text must be sent again."""


class Taker(Protocol):
    """Who gets an answer: a future, or whatever else takes it as one does."""

    def done(self) -> bool:
        """Whether the answer is not wanted any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Here it is."""
        ...

    def set_exception(self, exception: Any, /) -> None:
        """There is none."""
        ...


class Unheard:
    """Takes answers that nobody waits for; failures are counted under their use."""

    def __init__(self, use: str) -> None:
        self._use = use

    def done(self) -> bool:
        """Failures always matter."""
        return False

    def set_result(self, result: Any, /) -> None:
        """Good."""

    def set_exception(self, exception: Any, /) -> None:
        """Count it."""
        metrics.count(metrics.REDIS_ERRORS, self._use)


class Wire(asyncio.Protocol):
    """Takes over a connection on which Redis has been greeted. ``lost`` is called once, when it can be used no more."""

    def __init__(
        self, writer: asyncio.StreamWriter, timeout_s: float, lost: Callable[[Wire, str], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer  # it closes its transport when nobody holds it
        self._transport: asyncio.Transport = writer.transport  # pyright: ignore[reportAttributeAccessIssue]
        self._timeout_s = timeout_s
        self._lost = lost
        self._reader: Any = hiredis.Reader(replyError=_error)
        self._waiting: deque[Taker] = deque()
        self._out: list[bytes] = []
        self._answered_at = 0.0  # when the oldest command that waits began to be the oldest
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        self._is_over = False
        self._transport.set_protocol(self)

    def submit(self, command: tuple[Argument, ...], taker: Taker) -> None:
        """Send a command at the end of this turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(_pack(command))
        if not self._waiting:
            self._answered_at = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout_s, self._look)
        self._waiting.append(taker)

    def close(self, reason: str = "the connection was closed") -> None:
        """Hang up; what waits fails with the reason."""
        if self._is_over:
            return
        self._is_over = True
        self._out.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        self._lost(self, reason)
        for taker in waiting:
            if not taker.done():
                taker.set_exception(RedisAwayError(reason))

    def data_received(self, data: bytes) -> None:
        """Answers, in any cut."""
        self._answered_at = self._loop.time()
        try:
            self._reader.feed(data)
            gets, waiting = self._reader.gets, self._waiting
            while (answer := gets()) is not False:
                if not waiting or isinstance(answer, _UNUSUAL):
                    self._unusual(answer)
                    if self._is_over:
                        return
                elif not (taker := waiting.popleft()).done():
                    taker.set_result(answer)
        except hiredis.ProtocolError as wrong:
            self.close(f"Redis sent what is no answer: {wrong}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Redis, or the network, hung up."""
        self.close(f"the connection to Redis broke off: {exc}" if exc else "Redis closed the connection")

    def _unusual(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification):
            return  # a server's announcement, answer to nobody
        if not self._waiting:
            self.close("Redis sent an answer that nothing asked for")
            return
        if not (taker := self._waiting.popleft()).done():
            taker.set_exception(answer)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        left = self._answered_at + self._timeout_s - self._loop.time()
        if left > 0:
            self._is_late = False
            self._timer = self._loop.call_later(left, self._look)
        elif not self._is_late:
            # It may have been we who slept, and the answer is here: read before judging.
            self._is_late = True
            self._timer = self._loop.call_later(_GRACE_S, self._look)
        else:
            self.close(f"Redis gave no answer within {self._timeout_s:g} s")


def _error(message: str) -> RedisAwayError:
    return (UnknownScriptError if message.startswith("NOSCRIPT") else RedisAwayError)(message)
