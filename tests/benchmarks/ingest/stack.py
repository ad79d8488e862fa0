"""A folder in; an engine and a collector that can be killed and come back, and senders that never give up, out."""

from __future__ import annotations

import gzip
import http.client
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.ingest.payload import Batch
from tests.servers import Server, answers, command, free_port, start, start_engine

KEY = "sl_bench_0123456789abcdef0123456789"


class Stack:
    """One engine and one collector on free ports, with a home each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine_port, self.port, self.grpc_port = free_port(), free_port(), free_port()
        self.store = StoreSettings(clickhouse_url=f"http://127.0.0.1:{self.engine_port}/spanledger")
        self.engine: Server | None = None
        self.collector: Server | None = None
        self._client: Client | None = None
        for name in ("engine", "collector"):
            (folder / name).mkdir(exist_ok=True)

    def start_engine(self) -> None:
        self.engine = start_engine(self.folder / "engine", self.engine_port).server

    def start_collector(self, health: str = "readyz") -> None:
        environment = {
            "SPANLEDGER_HOME": str(self.folder / "collector"),
            "SPANLEDGER_CLICKHOUSE_URL": self.store.clickhouse_url,
            "SPANLEDGER_COLLECTOR_PORT": str(self.port),
            "SPANLEDGER_GRPC_PORT": str(self.grpc_port),
            "SPANLEDGER_BOOTSTRAP_KEY": KEY,
            "SPANLEDGER_REDIS_URL": "redis://127.0.0.1:1/0",
        }
        ready = answers(f"http://127.0.0.1:{self.port}/{health}")
        self.collector = start(command("collector"), self.folder / "collector.log", ready, environment)

    def __enter__(self) -> Stack:
        self.start_engine()
        self.start_collector()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self.collector, self.engine):
            if server is not None:
                server.stop()

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = connect(self.store)
        return self._client

    def rows(self, query: str) -> list[dict[str, Any]]:
        return list(self.client.query(query).named_results())

    def metric(self, name: str) -> float:
        """The sum of one of the collector's metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def settle(self, timeout_s: float = 300) -> None:
        """Wait until everything acknowledged is in the store."""
        deadline = time.monotonic() + timeout_s
        while self.metric("spanledger_ingest_spool_bytes") > 0:
            if time.monotonic() > deadline:
                raise TimeoutError("the spool does not drain")
            time.sleep(0.1)


class Sender(threading.Thread):
    """Sends batches until told to stop, each until it is acknowledged; remembers what was."""

    def __init__(self, stack: Stack, make: Callable[[int], Batch], first: int, per_s: float) -> None:
        super().__init__(daemon=True)
        self._stack, self._make, self._number, self._pause = stack, make, first, 1 / per_s
        self._stop_sending = threading.Event()
        self.acknowledged: list[Batch] = []
        self.open: list[Batch] = []  # sent and not acknowledged: may or may not be stored

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        due = time.monotonic()
        while not self._stop_sending.is_set():
            made = self._make(self._number)
            self._number += 1
            content = gzip.compress(made.body, 1)
            self.open = [made]
            while not self._stop_sending.is_set():
                try:
                    connection = connection or http.client.HTTPConnection(
                        "127.0.0.1", self._stack.port, timeout=10
                    )
                    if post(connection, content) == 200:
                        self.acknowledged.append(made)
                        self.open = []
                        break
                except (OSError, http.client.HTTPException):
                    connection = None
                time.sleep(0.05)
            due += self._pause
            time.sleep(max(0, due - time.monotonic()))

    def stop(self) -> None:
        self._stop_sending.set()
        self.join(30)


def post(connection: http.client.HTTPConnection, content: bytes, **headers: str) -> int:
    """Send one gzipped request; its status."""
    sent = {
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "authorization": f"Bearer {KEY}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection.request("POST", "/v1/traces", content, sent)
    response = connection.getresponse()
    response.read()
    return response.status
