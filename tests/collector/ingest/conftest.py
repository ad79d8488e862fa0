"""A real collector process on a store of the test's own, and a client that speaks OTLP/HTTP to it."""

from __future__ import annotations

import gzip
import http.client
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from spanledger_collector.ingest.lease import Lease
from spanledger_collector.ingest.metrics import Metrics
from spanledger_collector.ingest.pricing import PriceBook
from spanledger_collector.ingest.redact import Rules
from spanledger_collector.ingest.spool import Record, Spool
from spanledger_collector.ingest.writer import Writer
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.registry import Registry
from tests.otlp import SpanData, body
from tests.servers import Server, answers, command, free_port, spawn
from tests.stores import Store, Stores

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

    def wait_for(self, *spans: SpanData, table: str = "spans", timeout_s: float = 60) -> list[dict[str, Any]]:
        """Wait until the table holds a row of each span's trace; the rows, in the spans' order."""
        deadline = time.monotonic() + timeout_s
        ids = [span.trace_id.hex() for span in spans]
        query = (
            f"SELECT *, hex(span_id) AS span FROM {table} WHERE lower(hex(trace_id)) IN {{ids:Array(String)}}"  # noqa: S608
        )
        while len(found := self.rows(query, ids=ids)) < len(spans):
            assert time.monotonic() < deadline, f"{len(found)} of {len(spans)} rows in {table}\n{self.log()}"
            time.sleep(0.1)
        assert len(found) == len(spans)
        self.settled()
        return sorted(found, key=lambda row: ids.index(row["trace_id"].hex()))

    def settled(self, timeout_s: float = 60) -> None:
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


def make(store: Store, home: Path, **settings: str) -> Collector:
    """A collector that is not started yet; keyword arguments are further settings."""
    home.mkdir(exist_ok=True)
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


@pytest.fixture(scope="module")
def module_store(stores: Stores) -> Iterator[Store]:
    """One migrated database for the tests of a module: starting a process for each is too slow."""
    made = stores.lend()
    yield made
    stores.take_back(made)


@pytest.fixture(scope="module")
def collector(module_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A running collector, shared by a module's tests; requests are limited to 256 KiB."""
    made = make(module_store, tmp_path_factory.mktemp("collector"), SPANLEDGER_INGEST_MAX_BYTES="262144")
    with made.running():
        yield made


class Pipeline:
    """The writer on a real store, in the test's own process: spool, store, nothing else."""

    def __init__(
        self, store: Store, folder: Path, lease: Lease | None = None, client: Client | None = None
    ) -> None:
        self.store, self.metrics = store, Metrics()
        client = client or store.client
        self.spool = Spool(folder / "spool", max_bytes=1 << 30)
        self.registry = Registry(client)
        prices, rules = PriceBook(self.registry), Rules(self.registry)
        self.writer = Writer(self.spool, client, prices, rules, self.metrics, lease)

    def send(self, *spans: SpanData, project: str = "p", team: str = "", trusted: bool = False) -> None:
        """Spool one request of these spans and wait until it is on disk."""
        self.spool.append(record(body(*spans), project, team, trusted)).result(10)

    def store_all(self) -> None:
        """Write one segment of everything spooled so far."""
        while (segment := self.spool.take(0, 0)) is not None:
            self.writer.write(segment)

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """The answer of a query on the store."""
        return list(self.store.client.query(query, parameters=parameters).named_results())

    def close(self) -> None:
        self.spool.close()
        self.spool.release()


def record(
    content: bytes,
    project: str = "p",
    team: str = "",
    trusted: bool = False,
    signal: Literal["traces", "logs"] = "traces",
) -> Record:
    """A request as the receiver would spool it."""
    return Record(signal, project, team, "k", time.time_ns(), "", content, 1, trusted)


@pytest.fixture
def pipeline(store: Store, tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(store, tmp_path)
    yield made
    made.close()
