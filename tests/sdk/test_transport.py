"""The HTTP of the shipper: whatever answers, by whatever way it is reached, a body is sent once and its fate is known."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import BinaryIO

import pytest

from spanledger import collector_client
from spanledger.journal.shipping import Answer
from spanledger.journal.transport import Transport
from spanledger.proxies import proxy_for, target_of
from spanledger.settings import load

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Peer:
    """A server that answers each request with the next of its answers and keeps what it read."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while head := b"".join(_lines(reader)):
                text = head.replace(b"\r", b"\n").decode("latin-1")
                self.heads.append(text)
                length = next(
                    (line for line in text.lower().splitlines() if line.startswith("content-length")), ": 0"
                )
                self.bodies.append(reader.read(int(length.partition(":")[2])))
                answer = self.answers.pop(0) if self.answers else b""
                connection.sendall(answer)
                if not answer or b"connection: close" in answer or b"HTTP/1.0" in answer:
                    return


def _lines(reader: BinaryIO) -> Generator[bytes]:
    """The lines of a request's head; none where the connection ended."""
    while (line := reader.readline()) not in (b"", b"\r\n"):
        yield line.rstrip(b"\n")


@contextmanager
def peer(*answers: bytes) -> Generator[Peer]:
    found = Peer(*answers)
    try:
        yield found
    finally:
        found.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        found.listener.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def post(url: str, body: bytes, timeout_s: float = 5.0) -> Answer:
    with closing(Transport(url, "k", timeout_s)) as transport:
        return transport.post(body)


PARTIAL = bytes([0x0A, 2, 0x08, 7])


@pytest.mark.parametrize(
    ("answer", "status", "rejected"),
    [
        (OK, 200, 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + PARTIAL, 200, 7),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\n"
            + PARTIAL
            + b"\r\n0\r\nx: y\r\n\r\n",
            200,
            7,
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n" + PARTIAL, 200, 7),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + PARTIAL, 200, 7),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, 0),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno", 503, 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, 0),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0, 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", 0, 0),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 0, 0),
        (b"", 0, 0),
    ],
)
def test_any_answer_has_a_status(answer: bytes, status: int, rejected: int) -> None:
    with peer(answer) as server:
        found = post(f"http://{server.address}/v1/traces", b"body")
    assert (found.status, found.rejected) == (status, rejected)
    assert server.bodies[0] == b"body"
    assert server.heads[0].startswith("POST /v1/traces HTTP/1.1\n")
    assert "authorization: Bearer k\n" in server.heads[0]


def test_the_time_to_wait_is_read() -> None:
    with peer(b"HTTP/1.1 429 x\r\nRetry-After: 3\r\ncontent-length: 0\r\n\r\n") as server:
        assert post(f"http://{server.address}/", b"").retry_after_s == 3


def test_a_connection_is_kept_and_opened_again_when_the_server_closed_it() -> None:
    with peer(OK, OK, b"", OK) as server, closing(Transport(f"http://{server.address}/")) as transport:
        statuses = [transport.post(b"1").status for _ in range(3)]
    assert statuses == [200, 200, 200]  # the third was closed without an answer, and sent again
    assert server.connections == 2


def test_a_server_that_hangs_costs_the_patience_of_one_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert post(f"http://127.0.0.1:{silent.getsockname()[1]}/", b"x", timeout_s=0.1).status == 0


def test_a_body_for_another_machine_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    with peer(OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        body = b"the same words " * 500
        assert post("http://collector.example:4318/v1/traces", body).status == 200
    assert "content-encoding: gzip\n" in proxy.heads[0]
    assert gzip.decompress(proxy.bodies[0]) == body


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_collector_elsewhere_is_reached_through_the_proxy(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with peer(OK) as proxy:
        monkeypatch.setenv(variable, f"http://me:p%40ss@{proxy.address}")
        assert post("http://collector.example/v1/traces", b"x").status == 200
    assert proxy.heads[0].startswith(
        "POST http://collector.example/v1/traces HTTP/1.1\nhost: collector.example\n"
    )
    assert "proxy-authorization: Basic bWU6cEBzcw==\n" in proxy.heads[0]


def test_questions_to_the_collector_go_through_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({}, endpoint="http://collector.example/base/", key="k")
    with peer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pass@{proxy.address}")
        assert collector_client.get(settings, "/api/costs") == {}
    assert proxy.heads[0].startswith("GET http://collector.example/base/api/costs HTTP/1.1\n")
    assert "proxy-authorization: Basic bWU6cGFzcw==\n" in proxy.heads[0]


def test_tls_goes_through_a_tunnel_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        assert post("https://collector.example/v1/traces", b"x").status == 0
    assert proxy.heads == ["CONNECT collector.example:443 HTTP/1.1\nhost: collector.example:443\n"]


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("http://127.0.0.1:4318", "", True),
        ("http://localhost:4318", "", True),
        ("http://[::1]:4318", "", True),
        ("http://collector.example:4318", "", False),
        ("http://collector.example:4318", "example", True),
        ("http://collector.example:4318", "other.test,collector.example:4318", True),
        ("http://collector.example:4318", "*", True),
        ("http://collector.example:4318", "other.test", False),
    ],
)
def test_no_proxy_and_this_machine_are_asked_directly(
    url: str, no_proxy: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    found = proxy_for(target_of(url))
    assert (found is None) is direct
    if found is not None:
        assert (found.host, found.port) == ("proxy.example", 3128)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://h", "h", 80, "/", "h"),
        ("https://H:8443/a/b?c=d", "h", 8443, "/a/b?c=d", "h:8443"),
        ("http://[::1]:4318/v1/traces", "::1", 4318, "/v1/traces", "[::1]:4318"),
        ("https://u:p@[fe80::1]", "fe80::1", 443, "/", "[fe80::1]"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)
