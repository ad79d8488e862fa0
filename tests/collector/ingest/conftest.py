"""A real collector process on a store of the test's own, and a client that speaks OTLP/HTTP to it."""

from __future__ import annotations

import gzip
import http.client
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Store
from tests.otlp import SpanData, body
from tests.servers import Server, answers, command, free_port, spawn

KEY = "sl_bootstrap_0123456789abcdef"
PROTOBUF = "application/x-protobuf"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes


@dataclass
class Collector:
    """A running collector and where it listens."""

    store: Store
    home: Path
    port: int
    grpc_port: int
    environment: Mapping[str, str]
    server: Server | None = None

    @contextmanager
    def running(self) -> Generator[Server]:
        """The process, ready; stopped at the end."""
        ready = answers(f"http://127.0.0.1:{self.port}/readyz")
        with spawn(
            command("collector"), self.home / "collector.log", ready, dict(self.environment)
        ) as server:
            self.server = server
            yield server

    def post(
        self,
        content: bytes,
        path: str = "/v1/traces",
        *,
        key: str | None = KEY,
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        """One request; header names with underscores for dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"content-type": PROTOBUF}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def send(self, *spans: SpanData, zipped: bool = False, **given: Any) -> Answer:
        """Send spans and be acknowledged."""
        content = body(*spans, **given)
        answer = self.post(gzip.compress(content), content_encoding="gzip") if zipped else self.post(content)
        assert answer.status == 200, answer
        return answer

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """The answer of a query on the store."""
        return list(self.store.client.query(query, parameters=parameters).named_results())

    def wait_for(self, count: int, table: str = "spans", timeout_s: float = 15) -> float:
        """Wait until the table holds this many rows; how long that took, in seconds."""
        begun = time.monotonic()
        while (found := self.rows(f"SELECT count() AS n FROM {table}")[0]["n"]) < count:  # noqa: S608
            assert time.monotonic() - begun < timeout_s, f"{found} of {count} rows in {table}\n{self.log()}"
            time.sleep(0.05)
        assert found == count
        return time.monotonic() - begun

    def settled(self, timeout_s: float = 15) -> None:
        """Wait until nothing waits in the spool."""
        deadline = time.monotonic() + timeout_s
        while self.metric("spanledger_ingest_spool_bytes") > 0:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def metric(self, name: str) -> float:
        """The sum of one metric over its labels."""
        text = self.post(b"", "/metrics", method="GET").content.decode()
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def log(self) -> str:
        """What the process printed."""
        path = self.home / "collector.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


MakeCollector = Callable[..., Collector]


@pytest.fixture
def make_collector(store: Store, tmp_path: Path) -> MakeCollector:
    """A collector that is not started yet; keyword arguments are further settings."""

    def make(name: str = "a", **settings: str) -> Collector:
        home = tmp_path / name
        home.mkdir()
        port, grpc_port = free_port(), free_port()
        environment = {
            "SPANLEDGER_HOME": str(home),
            "SPANLEDGER_CLICKHOUSE_URL": store.url,
            "SPANLEDGER_COLLECTOR_PORT": str(port),
            "SPANLEDGER_GRPC_PORT": str(grpc_port),
            "SPANLEDGER_BOOTSTRAP_KEY": KEY,
            "SPANLEDGER_REDIS_URL": "redis://127.0.0.1:1/0",
            **settings,
        }
        return Collector(store, home, port, grpc_port, environment)

    return make


@pytest.fixture
def collector(make_collector: MakeCollector) -> Iterator[Collector]:
    """A running collector."""
    made = make_collector()
    with made.running():
        yield made


@dataclass
class Sent:
    """Spans a test sent, to compare with."""

    spans: list[SpanData] = field(default_factory=list[SpanData])
