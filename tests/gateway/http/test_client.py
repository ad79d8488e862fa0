"""The client's side of HTTP/1.1: answers in any cut, connections kept and dropped, callers that give up, TLS, guards."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from spanledger_gateway.http.client import Client, Origin
from spanledger_gateway.http.errors import BrokenAnswerError, ConnectError
from spanledger_gateway.ssrf import ForbiddenAddressError, check_address

REQUEST = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """A server whose every byte the test writes; counts connections."""

    def __init__(self, handler: Handler) -> None:
        self.connections = 0
        self.gone = asyncio.Event()
        self._handler = handler

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._handler(reader, writer)
            await reader.read()
        self.gone.set()
        writer.close()


def always(answer: bytes, step: int = 1 << 20) -> Handler:
    """Answers each request with these bytes, in pieces of ``step``."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readexactly(len(REQUEST))
            for start in range(0, len(answer), step):
                writer.write(answer[start : start + step])
                await writer.drain()
                await asyncio.sleep(0)

    return handler


@contextlib.asynccontextmanager
async def upstream(
    handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[Upstream, Origin]]:
    server = Upstream(handler)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port: int = listening.sockets[0].getsockname()[1]
    try:
        yield server, Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port, False)
    finally:
        listening.close()


@contextlib.asynccontextmanager
async def client() -> AsyncGenerator[Client]:
    made = Client(5, check_address)
    try:
        yield made
    finally:
        await made.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_limits() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(within_limits())


async def whole(client: Client, origin: Origin) -> tuple[int, bytes]:
    response = await client.send(origin, REQUEST)
    try:
        return response.status, await response.read()
    finally:
        response.release()


SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
)
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED
PACKED = gzip.compress(b"hello")
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    "answer", [SIZED, CHUNKED, INFORMED, GZIPPED], ids=["length", "chunked", "informed", "gzip"]
)
def test_an_answer_is_read_in_any_cut_of_its_bytes_and_its_connection_is_used_again(
    answer: bytes, step: int
) -> None:
    async def test() -> None:
        async with upstream(always(answer, step)) as (server, origin), client() as asking:
            for _ in range(3):
                assert await whole(asking, origin) == (200, b"hello")
            assert server.connections == 1

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        SIZED.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SIZED.replace(b"OK\r\n", b"OK\r\nKeep-Alive: timeout=1\r\n"),
        SIZED + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore",
    ],
    ids=["close", "old", "short", "unasked"],
)
def test_a_connection_that_may_not_be_used_again_is_not(answer: bytes) -> None:
    async def test() -> None:
        async with upstream(always(answer)) as (server, origin), client() as asking:
            assert await whole(asking, origin) == (200, b"hello")
            await asyncio.sleep(0.05)
            assert await whole(asking, origin) == (200, b"hello")
            assert server.connections == 2

    run(test)


def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await writer.drain()
        writer.write(b"lo")
        writer.close()

    async def test() -> None:
        async with upstream(handler) as (_, origin), client() as asking:
            assert await whole(asking, origin) == (200, b"hello")

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        CHUNKED[:-10],
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        SIZED.replace(b"OK\r\n", b"OK\r\nContent-Encoding: br\r\n"),
        GZIPPED.replace(b"Content-Length: %d" % len(PACKED), b"Content-Length: %d" % (len(PACKED) - 4))[:-4],
        SIZED.replace(b"OK\r\n", b"OK\r\n" + b"x: %b\r\n" % (b"y" * 9000) * 20),
    ],
    ids=["nothing", "head", "body", "chunks", "no-http", "upgrade", "encoding", "gzip", "headers"],
)
def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(answer)
        writer.close()

    async def test() -> None:
        async with upstream(handler) as (_, origin), client() as asking:
            with pytest.raises(BrokenAnswerError):
                await whole(asking, origin)

    run(test)


def test_an_answer_beyond_the_limit_is_refused_inflated_or_not() -> None:
    packed = gzip.compress(bytes(50 << 20))
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed

    async def test() -> None:
        async with upstream(always(bomb)) as (_, origin), client() as asking:
            response = await asking.send(origin, REQUEST)
            with pytest.raises(BrokenAnswerError, match="larger"):
                await response.read(1 << 20)
            response.release()

    run(test)


@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "in the body"])
def test_a_caller_that_gives_up_closes_the_connection_at_once(begun: bool) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(SIZED[:-2] if begun else b"")

    async def test() -> None:
        async with upstream(handler) as (server, origin), client() as asking:
            task = asyncio.create_task(whole(asking, origin))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.gone.wait()

    run(test)


def test_a_response_that_was_given_back_cannot_touch_the_next_request_s_connection() -> None:
    async def test() -> None:
        async with upstream(always(SIZED)) as (server, origin), client() as asking:
            first = await asking.send(origin, REQUEST)
            assert await first.read() == b"hello"
            first.release()
            second = await asking.send(origin, REQUEST)
            first.close()
            first.release()
            assert await second.read() == b"hello"
            second.release()
            assert server.connections == 1

    run(test)


def test_many_requests_at_once_get_each_their_own_answer() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(8)
            await asyncio.sleep(0.001)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + body)

    async def test() -> None:
        async with upstream(handler) as (_, origin), client() as asking:

            async def one(number: int) -> bool:
                head = b"POST / HTTP/1.1\r\ncontent-length: 8\r\n\r\n"
                request = asyncio.create_task(asking.send(origin, head + b"%08d" % number))
                if number % 7 == 0:  # some give up half way
                    await asyncio.sleep(0)
                    request.cancel()
                    await asyncio.gather(request, return_exceptions=True)
                    return True
                response = await request
                try:
                    return await response.read() == b"%08d" % number
                finally:
                    response.release()

            for _ in range(5):
                assert all(await asyncio.gather(*(one(number) for number in range(200))))

    run(test)


def test_a_reader_that_is_slow_holds_the_upstream_up() -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readexactly(len(REQUEST))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 1

    async def test() -> None:
        async with upstream(handler) as (_, origin), client() as asking:
            response = await asking.send(origin, REQUEST)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 500
            size = 0
            while data := await response.readany():
                size += len(data)
            assert (size, response.at_end) == (50_000_000, True)
            response.release()

    run(test)


def test_nobody_listening_is_no_connection_and_so_is_a_name_that_does_not_exist() -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            for host in ("127.0.0.1", "name.invalid"):
                async with client() as asking:
                    with pytest.raises(ConnectError):
                        await asking.send(Origin("http", host, taken.getsockname()[1], False), REQUEST)

    run(test)


def test_a_guarded_name_is_not_connected_to_where_its_address_is_private() -> None:
    async def test() -> None:
        async with upstream(always(SIZED)) as (server, origin), client() as asking:
            named = origin._replace(host="localhost")
            with pytest.raises(ForbiddenAddressError, match="allow_private"):
                await asking.send(named._replace(is_guarded=True), REQUEST)
            assert await whole(asking, named) == (200, b"hello")
            # A connection that others may use is none for a guarded upstream.
            with pytest.raises(ForbiddenAddressError):
                await asking.send(named._replace(is_guarded=True), REQUEST)
            assert server.connections == 1

    run(test)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, file = tmp_path / "key.pem", tmp_path / "cert.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*argv, "-days", "1", "-keyout", key, "-out", file, *name], check=True, capture_output=True
    )
    return key, file


def test_tls_is_spoken_and_its_certificate_checked(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, file = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, key)

    async def test() -> None:
        async with upstream(always(SIZED, 3), tls) as (server, origin):
            async with client() as asking:
                with pytest.raises(ConnectError, match=r"(?i)certificate"):
                    await asking.send(origin, REQUEST)
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            async with client() as trusting:
                for _ in range(2):
                    assert await whole(trusting, origin) == (200, b"hello")
                with pytest.raises(ConnectError, match=r"(?i)certificate"):
                    await trusting.send(origin._replace(host="127.0.0.1"), REQUEST)
            assert server.connections == 1  # the others never came to speak HTTP

    run(test)
