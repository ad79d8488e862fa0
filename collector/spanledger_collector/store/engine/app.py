"""HTTP requests as ClickHouse's clients send them in; the engine's answers out. A raw ASGI application."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .answer import Answer, Reply
from .codec import inflate
from .errors import BODY_TOO_LARGE, TOO_MANY_QUERIES, UNKNOWN, EngineError, refusal
from .handles import Handles
from .request import Head, read_head, read_request
from .runner import Gone, run
from .settings import EngineSettings

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EngineApp:
    """The server's face: authenticates, reads, queues, and streams answers."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._token = settings.token.get_secret_value()
        self._reader_token = settings.reader_token.get_secret_value()
        self._threads = ThreadPoolExecutor(settings.handles, thread_name_prefix="engine")
        self._handles = Handles(settings.data, settings.handles)
        self._busy = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self.close)
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})

    def close(self) -> None:
        """Let running statements end, then close the engine; parts written are on disk already."""
        self._threads.shutdown(wait=True)
        self._handles.close()

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        head = read_head(scope["method"], scope["query_string"], scope["headers"])
        if scope["path"] == "/ping" or (head.method == "GET" and not scope["query_string"]):
            await _ok(send)
            return
        reply = Reply(head, head.params.get("query_id") or str(uuid.uuid4()), send)
        try:
            head.authenticate(self._token, self._reader_token)
            body = await self._read_body(head, receive)
            self._admit()
            try:
                await self._answer(head, body, reply, receive)
            finally:
                self._busy -= 1
        except EngineError as refused:
            await reply.fail(refused)
        except Gone:
            return
        except Exception as bug:  # the edge of an HTTP request: answered, logged, survived
            log.exception("a request failed")
            await reply.fail(
                EngineError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {bug!r} (UNKNOWN_EXCEPTION)")
            )

    async def _read_body(self, head: Head, receive: Receive) -> bytes:
        limit = self._settings.max_body
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            more = message.get("more_body", False)
            if size > limit:
                raise refusal(BODY_TOO_LARGE, f"the body is over {limit} bytes (SPANLEDGER_ENGINE_MAX_BODY)")
        return b"".join(pieces)

    def _admit(self) -> None:
        if self._busy >= self._settings.handles + self._settings.queue:
            raise refusal(
                TOO_MANY_QUERIES,
                f"{self._busy} statements run or wait already (SPANLEDGER_ENGINE_HANDLES, SPANLEDGER_ENGINE_QUEUE)",
            )
        self._busy += 1

    async def _answer(self, head: Head, body: bytes, reply: Reply, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        answer = Answer(loop)
        work = loop.run_in_executor(self._threads, self._work, head, body, answer)
        watch = asyncio.create_task(_watch(receive, answer))
        try:
            while (piece := await answer.next()) is not None:
                if isinstance(piece, EngineError):
                    raise piece
                if isinstance(piece, bytes):
                    await reply.piece(piece)
                else:
                    await reply.start(*piece)
            if reply.started:
                await reply.finish()
        finally:
            watch.cancel()
            await work

    def _work(self, head: Head, body: bytes, answer: Answer) -> None:
        """In a worker thread: one statement from its body to the last piece of its answer."""
        error: EngineError | None = None
        try:
            plain = inflate(body, head.headers.get("content-encoding", ""), self._settings.max_body)
            request = read_request(head, plain, "")
            with self._handles.lease() as handle:
                run(request, handle, answer)
        except EngineError as refused:
            error = refused
        except Gone:
            pass
        except Exception as bug:  # the edge of an HTTP request, in its thread
            log.exception("a statement failed")
            error = EngineError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {bug!r} (UNKNOWN_EXCEPTION)")
        finally:
            answer.end(error)


async def _watch(receive: Receive, answer: Answer) -> None:
    """Tell the worker when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.leave()


async def _ok(send: Send) -> None:
    body = b"Ok.\n"
    headers = [(b"content-type", b"text/plain; charset=UTF-8"), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
