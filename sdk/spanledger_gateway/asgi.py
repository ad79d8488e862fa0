"""The little of ASGI that the hot path needs: read a body with a limit, send an answer, notice a disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from .http.exchange import DISCONNECT

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
SSE: Header = (b"content-type", b"text/event-stream; charset=utf-8")


class BodyTooLargeError(Exception):
    """The body is larger than allowed; the message says the limit."""


class CallerGoneError(Exception):
    """The caller went away before its body was complete."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; of several with one name the last holds."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body.

    Raises:
        BodyTooLargeError: it has more than ``limit`` bytes.
        CallerGoneError: the caller left before its end.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLargeError(f"the body is larger than {limit} bytes")
        return body
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLargeError(f"the body is larger than {limit} bytes")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def send_head(send: Send, status: int, headers: Iterable[Header]) -> None:
    """Start an answer."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def send_whole(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    """Send an answer in one piece."""
    length = (b"content-length", b"%d" % len(body))
    await send_head(send, status, (*headers, length))
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: object, headers: Iterable[Header] = ()) -> None:
    """Send a value as JSON."""
    await send_whole(send, status, (JSON, *headers), orjson.dumps(value))


class Watch:
    """Cancels the task it was made in when the caller goes away; a context manager.

    Our own server tells of it by a callback. Under another one somebody must wait on ``receive``, since ``send``
    says nothing after a disconnect.
    """

    __slots__ = ("_receive", "_subscribe", "_task", "_waiting", "gone")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._subscribe: Callable[[Callable[[], None] | None], None] | None = scope.get("extensions", {}).get(
            DISCONNECT
        )
        self._task: asyncio.Task[Any] | None = None
        self._waiting: asyncio.Task[None] | None = None

    def __enter__(self) -> Watch:
        self._task = asyncio.current_task()
        if self._subscribe is not None:
            self._subscribe(self._left)
        else:
            self._waiting = asyncio.create_task(self._wait())
        return self

    def __exit__(self, *_: object) -> None:
        self._task = None
        if self._subscribe is not None:
            self._subscribe(None)
        elif self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if self._task is not None:
            self.gone = True
            self._task.cancel()
