"""The server's side of HTTP/1.1, byte by byte: requests in any cut, pipelines, odd clients, slow and lost callers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from spanledger_gateway.asgi import Watch, read_body, send_whole
from spanledger_gateway.http import server as module
from spanledger_gateway.http.server import HttpProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Method, path, query and body back."""
    body = await read_body(receive, 1 << 30)
    said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode() + body
    await send_whole(send, 200, [(b"content-type", b"text/plain")], said)


@contextlib.asynccontextmanager
async def serving(app: App, keep_alive_s: int = 75) -> AsyncGenerator[tuple[ServerState, int]]:
    config = Config(app, lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield state, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


@contextlib.asynccontextmanager
async def connected(app: App, **more: Any) -> AsyncGenerator[Wire]:
    async with serving(app, **more) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_limits() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(within_limits())


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer off the wire, by its framing alone."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        assert await reader.readline() == b"\r\n"
    else:
        body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body


POST = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [POST, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_request_is_read_in_any_cut_of_its_bytes_and_its_connection_serves_the_next(
    request_bytes: bytes, step: int
) -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            for _ in range(2):
                for start in range(0, len(request_bytes), step):
                    writer.write(request_bytes[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                status, headers, body = await answer(reader)
                assert (status, body) == (200, b"POST /v1/x a=1 hello")
                assert "connection" not in headers

    run(test)


def test_a_request_that_was_served_leaves_no_circle_for_the_collector_to_find() -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            for number in range(51):
                writer.write(POST)
                await answer(reader)
                if number == 0:
                    gc.collect()
                    gc.disable()
            assert gc.collect() < 50, "less than one object a request, for what the test itself leaves"

    try:
        run(test)
    finally:
        gc.enable()


def test_a_head_may_come_in_pieces_up_to_its_limit() -> None:
    line = b"x: " + b"y" * 900 + b"\r\n"

    async def test() -> None:
        for lines, status in ((60, 200), (72, 431)):
            async with connected(echo) as (reader, writer):
                for piece in (b"GET / HTTP/1.1\r\n", *[line] * lines, b"\r\n"):
                    writer.write(piece)
                    await asyncio.sleep(0.001)
                assert (await answer(reader))[0] == status

    run(test)


def test_a_header_without_an_end_is_not_kept_for_ever() -> None:
    async def test() -> None:
        async with connected(echo) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nx: ")
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 2_000_000:
                    writer.write(b"y" * 50_000)
                    await writer.drain()
                    await asyncio.sleep(0.005)
                    sent += 50_000
            assert sent < 1_000_000

    run(test)


def test_requests_sent_at_once_are_answered_one_after_the_other_in_their_order() -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(20)))
            assert [(await answer(reader))[2].split()[1] for _ in range(20)] == [
                b"/%d" % n for n in range(20)
            ]

    run(test)


def test_a_caller_that_waits_for_100_continue_gets_it_before_it_sends_its_body() -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            writer.write(POST[:-5].replace(b"Host: h", b"Host: h\r\nExpect: 100-continue"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hello")
            assert (await answer(reader))[2].endswith(b"hello")

    run(test)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"no http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost h\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
    ids=["garbage", "no-colon", "two-framings", "headers", "address"],
)
def test_what_is_no_request_or_too_large_is_refused_and_the_connection_closed(
    request_bytes: bytes, status: int
) -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            writer.write(request_bytes)
            assert (await answer(reader))[0] == status
            assert await reader.read() == b""

    run(test)


def test_old_and_closing_clients_get_an_answer_and_a_closed_connection() -> None:
    async def test() -> None:
        for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"):
            async with connected(echo) as (reader, writer):
                writer.write(head)
                status, headers, _ = await answer(reader)
                assert (status, headers["connection"]) == (200, "close")
                assert await reader.read() == b""

    run(test)


def test_a_head_request_gets_no_body_and_an_upgrade_is_served_as_plain_http() -> None:
    async def test() -> None:
        async with connected(echo) as (reader, writer):
            writer.write(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 9" in head
            writer.write(POST.replace(b"Host: h", b"Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c") + POST)
            assert (await answer(reader))[2] == b"POST /v1/x a=1 hello"
            assert (await answer(reader))[2] == b"POST /v1/x a=1 hello"

    run(test)


async def stream(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"piece", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def test_a_stream_is_chunked_for_new_clients_and_ends_with_the_connection_for_old_ones() -> None:
    async def test() -> None:
        async with connected(stream) as (reader, writer):
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                _, headers, body = await answer(reader)
                assert (headers["transfer-encoding"], body) == ("chunked", b"piecepiecepiece")
        async with connected(stream) as (reader, writer):
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"\r\n\r\npiecepiecepiece")

    run(test)


def test_an_answer_without_reading_the_body_leaves_the_connection_in_order() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send_whole(send, 401, [], b"no")

    async def test() -> None:
        async with connected(refuse) as (reader, writer):
            body = b"x" * 3_000_000
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                assert (await answer(reader))[0] == 401

    run(test)


@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "after it"])
def test_an_application_that_fails_never_makes_an_answer_look_whole(begun: bool) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if begun:
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("on purpose")

    async def test() -> None:
        async with connected(broken) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            said = await reader.read()
            assert said.startswith(b"HTTP/1.1 200" if begun else b"HTTP/1.1 500")
            assert not said.endswith(b"0\r\n\r\n")

    run(test)


def test_a_header_with_a_line_break_is_never_sent() -> None:
    async def inject(scope: Any, receive: Any, send: Any) -> None:
        await send_whole(send, 200, [(b"x-name", b"a\r\nset-cookie: b")], b"")

    async def test() -> None:
        async with connected(inject) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            said = await reader.read()
            assert said.startswith(b"HTTP/1.1 500")
            assert b"set-cookie" not in said

    run(test)


def test_an_application_is_cancelled_when_its_caller_leaves() -> None:
    cancelled = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive, 100)
        try:
            with Watch(scope, receive):
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def test() -> None:
        async with connected(waits) as (_, writer):
            writer.write(POST)
            await asyncio.sleep(0.05)
            writer.close()
            await cancelled.wait()

    run(test)


def test_a_caller_that_reads_slowly_holds_up_its_own_answer_only() -> None:
    sent = 0

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async def test() -> None:
        async with connected(flood) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != sent:  # until it is stuck
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 200
            size = 0
            while size < 20_000_000:
                size += len(await reader.read(1 << 20))
            assert sent == 200

    run(test)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(2.5)
        await send_whole(send, 200, [], b"")

    async def test() -> None:
        async with connected(slow, keep_alive_s=1) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await answer(reader))[0] == 200
            assert await reader.read() == b""

    run(test)


def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALLED_S", 0.2)

    async def test() -> None:
        for begun in (b"", b"POST / HT", POST[:-1]):
            async with connected(echo) as (reader, writer):
                writer.write(begun)
                assert await reader.read() == b""

    run(test)


def test_a_server_that_stops_lets_answers_under_way_end() -> None:
    go_on = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await send_whole(send, 200, [], b"done")

    async def test() -> None:
        async with serving(waits) as (state, port):
            idle = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            while len(state.connections) < 2 or not state.tasks:
                await asyncio.sleep(0.01)
            for connection in list(state.connections):
                connection.shutdown()
            assert await idle[0].read() == b""
            go_on.set()
            status, headers, _ = await answer(reader)
            assert (status, headers["connection"]) == (200, "close")
            assert await reader.read() == b""
            assert not state.connections
            idle[1].close()
            writer.close()

    run(test)
