"""A stream that has begun in, its bytes to the caller (or to nobody) until its end out."""

from __future__ import annotations

import asyncio

from spanledger.serving.relay import BrokenStreamError

from .asgi import Message, Send
from .asking import Live
from .http.response import Response

_IDLE_CHECKS = 4  # a stalled stream is noticed within a quarter of its limit


async def pump(live: Live, send: Send) -> None:
    """Pass the stream on until its end.

    Raises:
        BrokenStreamError: it broke off, stalled, or carried an error.
    """
    response, relay = live.response, live.relay
    with Stall(response, live.attempt.upstream.first_token_timeout_s) as stall:
        out = live.held
        if live.broken is not None:
            live.broken.pending = out + live.broken.pending
            raise live.broken
        while not relay.answer.ended:
            if out:
                await send({"type": "http.response.body", "body": out, "more_body": True})
            try:
                data = await response.readany()
            except OSError as wrong:
                reason = (
                    "the provider's stream stalled" if stall.stalled else f"the stream broke off: {wrong}"
                )
                raise BrokenStreamError(reason) from wrong
            stall.active = True
            if not data:
                if stall.stalled:
                    raise BrokenStreamError("the provider's stream stalled")
                out = relay.close()
                break
            out = relay.feed(data)
        await send({"type": "http.response.body", "body": out})


async def drain(live: Live, limit_s: float) -> None:
    """Read a stream to its end for nobody, at most ``limit_s`` seconds, so that its usage is known.

    Raises:
        BrokenStreamError: it broke off, stalled, or took too long.
    """
    try:
        async with asyncio.timeout(limit_s):
            await pump(live, _to_nobody)
    except TimeoutError as wrong:
        raise BrokenStreamError("the stream took too long to drain") from wrong


async def _to_nobody(message: Message) -> None:
    return


async def let_go(live: Live) -> None:
    """Give the connection back when the provider's last bytes are there or about to come; else close it."""
    response = live.response
    try:
        if live.relay.answer.ended and not response.at_end:
            async with asyncio.timeout(0.2):
                while await response.readany():
                    pass
    except (OSError, TimeoutError):
        response.close()
    finally:
        response.release()


class Stall:
    """Closes a response when nothing arrives for too long; one timer a stream, not one a chunk."""

    def __init__(self, response: Response, limit_s: float) -> None:
        self.active = True
        self.stalled = False
        self._response = response
        self._step_s = limit_s / _IDLE_CHECKS
        self._quiet = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Stall:
        self._again()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._step_s, self._check)

    def _check(self) -> None:
        self._quiet = 0 if self.active else self._quiet + 1
        self.active = False
        if self._quiet >= _IDLE_CHECKS:
            self.stalled = True
            self._response.close()
        else:
            self._again()
