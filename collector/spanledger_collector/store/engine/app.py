"""HTTP requests as ClickHouse's clients send them in; the engine's answers out. A raw ASGI application."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .answer import Answer, Reply, plain
from .codec import inflate
from .errors import BODY_TOO_LARGE, TOO_MANY_QUERIES, UNKNOWN, EngineError, refusal
from .handles import Handle, Handles
from .metrics import Metrics
from .request import Head, read_head, read_request
from .runner import Gone, Runner
from .running import Running, Work
from .settings import EngineSettings
from .statement import Body

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_WATCH_AFTER_S = 0.02  # most answers are out before it is worth a look whether anybody waits
_STOP_READS_S = 1.0
_STOP_WRITES_S = 5.0


class EngineApp:
    """The server's face: authenticates, reads, queues, and streams answers."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._token = settings.token.get_secret_value()
        self._reader_token = settings.reader_token.get_secret_value()
        defaults = {
            "implicit_select": "0",  # without it `syntax err` reads as SELECT syntax AS err
            "max_memory_usage": str(settings.statement_memory),
        }
        self._handles = Handles(settings.data, settings.handles, defaults)
        self._running = Running(Handle(settings.data, "control", defaults))
        # Long reads must not keep inserts waiting, so inserts have threads of their own.
        lane = max(1, settings.handles // 4)
        self._inserts = ThreadPoolExecutor(lane, thread_name_prefix="insert")
        self._others = ThreadPoolExecutor(max(1, settings.handles - lane), thread_name_prefix="statement")
        self._buffered = 0
        self._stopping = False
        self._metrics = Metrics()

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

    def stop_reads(self) -> None:
        """End what only reads, so that its clients hear of it before the server goes."""
        self._stopping = True
        self._running.cancel([work for work in self._running.all() if work.reads], _STOP_READS_S)

    def close(self) -> None:
        """Stop reads, give writes some seconds to end, then close the engine."""
        self.stop_reads()
        works = self._running.all()
        if not self._running.wait(works, _STOP_WRITES_S):
            self._running.cancel(works, _STOP_WRITES_S)
        self._inserts.shutdown(wait=True)
        self._others.shutdown(wait=True)
        self._running.close()
        self._handles.close()

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        head = read_head(scope["method"], scope["query_string"], scope["headers"])
        answer = self._without_statement(scope["path"], head)
        if answer is not None:
            await plain(send, *answer)
            return
        reply = Reply(head, head.params.get("query_id") or str(uuid.uuid4()), send)
        error: EngineError | None = None
        try:
            await self._statement(head, reply, receive)
        except EngineError as refused:
            error = refused
        except Gone:
            self._metrics.left.inc()
            return
        except Exception as bug:  # the edge of an HTTP request: answered, logged, survived
            log.exception("a request failed")
            error = EngineError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {bug!r} (UNKNOWN_EXCEPTION)")
        self._metrics.count(error)
        if error is not None:
            await reply.fail(error)

    def _without_statement(self, path: str, head: Head) -> tuple[int, bytes] | None:
        if path == "/ping" or (path == "/" and head.method in ("GET", "HEAD") and not head.params):
            return 200, b"Ok.\n"
        if path == "/metrics":
            return 200, self._metrics.text(len(self._running), self._buffered)
        if path not in ("", "/"):
            return 404, f"There is no handle {path}\n".encode()
        return None

    async def _statement(self, head: Head, reply: Reply, receive: Receive) -> None:
        head.authenticate(self._token, self._reader_token)
        if self._stopping:
            raise refusal(TOO_MANY_QUERIES, "the server is stopping")
        if len(self._running) >= self._settings.handles + self._settings.queue:
            raise refusal(
                TOO_MANY_QUERIES,
                f"{len(self._running)} statements run or wait already "
                "(SPANLEDGER_ENGINE_HANDLES, SPANLEDGER_ENGINE_QUEUE)",
            )
        work = self._running.add(reply.query_id)
        taken = 0
        try:
            body = await self._read_body(receive)
            taken = sum(map(len, body))
            await self._answer(head, body, reply, receive, work)
        finally:
            self._buffered -= taken
            self._running.remove(work)

    async def _read_body(self, receive: Receive) -> list[bytes]:
        """The whole body; what it takes is counted in ``_buffered`` until the caller gives it back."""
        pieces: list[bytes] = []
        size = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                piece: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                pieces.append(piece)
                size += len(piece)
                self._buffered += len(piece)
                self._check_size(size)
        except BaseException:
            self._buffered -= size
            raise
        return pieces

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_body
        if size > limit:
            raise refusal(BODY_TOO_LARGE, f"the body is over {limit} bytes (SPANLEDGER_ENGINE_MAX_BODY)")
        if self._buffered > self._settings.max_buffered:
            raise refusal(
                TOO_MANY_QUERIES,
                f"requests hold {self._buffered} bytes already (SPANLEDGER_ENGINE_MAX_BUFFERED)",
            )

    async def _answer(self, head: Head, body: Body, reply: Reply, receive: Receive, work: Work) -> None:
        loop = asyncio.get_running_loop()
        answer = Answer(loop)
        lane = self._inserts if head.inserts or body[0][:6].upper() == b"INSERT" else self._others
        lane.submit(self._work, head, body, answer, work)
        watches: list[asyncio.Task[None]] = []
        later = loop.call_later(
            _WATCH_AFTER_S, lambda: watches.append(asyncio.create_task(self._watch(receive, answer, work)))
        )
        try:
            await reply.write(answer)
        finally:
            later.cancel()
            for watch in watches:
                watch.cancel()
            if not answer.ended:
                answer.leave()
                await answer.drain()

    async def _watch(self, receive: Receive, answer: Answer, work: Work) -> None:
        """When the client goes away: free its worker at once, and end the statement unless it writes."""
        while (await receive())["type"] != "http.disconnect":
            pass
        answer.leave()
        if work.reads:
            await asyncio.to_thread(self._running.cancel, [work], _STOP_WRITES_S)

    def _work(self, head: Head, body: Body, answer: Answer, work: Work) -> None:
        """In a worker thread: one statement from its body to the last piece of its answer."""
        error: EngineError | None = None
        try:
            work.check()
            if encoding := head.headers.get("content-encoding"):
                body = (inflate(b"".join(body), encoding, self._settings.max_body),)
            request = read_request(head, body)
            if self._stopping:
                raise refusal(TOO_MANY_QUERIES, "the server is stopping")
            with self._handles.lease() as handle:
                Runner(request, handle, answer, work, self._running).run()
        except EngineError as refused:
            error = refused
        except Gone:
            pass
        except Exception as bug:  # the edge of an HTTP request, in its thread
            log.exception("a statement failed")
            error = EngineError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {bug!r} (UNKNOWN_EXCEPTION)")
        finally:
            answer.end(error)
