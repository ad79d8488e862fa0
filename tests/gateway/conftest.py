"""A real gateway process, a stand-in collector and stand-in model servers."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from spanledger.serving.budgets import counter_key
from spanledger.serving.snapshot import (
    Budget,
    CacheRule,
    Price,
    ProjectSnapshot,
    Route,
    Snapshot,
    SnapshotKey,
    Target,
    Upstream,
)
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import Span, StandInCollector, new_version
from tests.gateway.money import MODEL, Counter
from tests.servers import Server, answers, command, free_port, start

KEY = "sl_test_0123456789abcdef"


@dataclass
class Answered:
    """A plain HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningGateway:
    """A gateway process and all it talks to."""

    url: str
    home: Path
    collector: StandInCollector
    start: Callable[[], Server]
    server: Server
    project: ProjectSnapshot = field(default_factory=ProjectSnapshot)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def install(self, project: ProjectSnapshot, keys: tuple[SnapshotKey, ...] | None = None) -> None:
        """Make the gateway serve this project, and wait until it does."""
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        usual = SnapshotKey(id="test", hash=digest, project="shop", team="search", scopes=("gateway",))
        self.project = project
        self.collector.snapshot = Snapshot(
            version=new_version(), keys=keys or (usual,), projects={"shop": project}
        )
        deadline = time.monotonic() + 10
        while self.get("/readyz").json["snapshot"] != self.collector.snapshot.version:
            assert time.monotonic() < deadline, self.server.output()[-3000:]
            time.sleep(0.02)

    def route(self, *servers: ModelServer, **more: Any) -> None:
        """One route ``gpt-4o-mini`` whose first target is the primary and the rest its fallbacks."""
        self.install(plan(*servers, **more))

    def change(self, **changes: Any) -> None:
        """Install the current project with some fields replaced."""
        self.install(replace(self.project, **changes))

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answered:
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answered:
        return self.request("POST", path, body, headers)

    def request(self, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **(headers or {})}
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def chat(self, question: str = "What is the capital of France?", **more: Any) -> Answered:
        """One chat completion; ``headers`` are sent with it, the rest is the body's."""
        headers = more.pop("headers", None)
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}], **more}
        return self.post("/v1/chat/completions", body, headers)

    def spans(self, answer: Answered, count: int) -> list[Span]:
        """The recorded spans of an answer: the request's first, then its attempts."""
        return self.collector.trace(
            answer.headers["x-spanledger-trace-id"], lambda spans: len(spans) >= count
        )


def plan(
    *servers: ModelServer,
    cache: CacheRule | None = None,
    budgets: dict[str, Budget] | None = None,
    prices: tuple[Price, ...] = (),
    routes: dict[str, Route] | None = None,
    **upstream: Any,
) -> ProjectSnapshot:
    """A project whose route ``gpt-4o-mini`` asks these servers in order; ``upstream`` goes to each of them."""
    given: dict[str, Any] = {"provider": "openai", "allow_private": True, **upstream}
    upstreams = {f"up{i}": _upstream(server, given) for i, server in enumerate(servers)}
    targets = tuple(
        Target(upstream=name, model=MODEL, role="fallback" if i else "primary")
        for i, name in enumerate(upstreams)
    )
    return ProjectSnapshot(
        upstreams=upstreams,
        routes={MODEL: Route(targets=targets, cache=cache), **(routes or {})},
        budgets=budgets or {},
        prices=prices,
    )


def _upstream(server: ModelServer, given: dict[str, Any]) -> Upstream:
    fields: dict[str, Any] = {"base_url": server.base_url, **given}
    return Upstream(**fields)


@pytest.fixture(scope="session")
def _gateway(tmp_path_factory: pytest.TempPathFactory, _broker_url: str) -> Iterator[RunningGateway]:
    collector = StandInCollector()
    collector.start()
    with running(tmp_path_factory.mktemp("gateway"), collector, _broker_url) as gateway:
        yield gateway
    collector.stop()


@contextlib.contextmanager
def running(
    home: Path, collector: StandInCollector, broker_url: str, **environment: str
) -> Generator[RunningGateway]:
    """A gateway process on a free port."""
    port = free_port()
    env = {
        "SPANLEDGER_HOME": str(home),
        "SPANLEDGER_ENDPOINT": collector.url,
        "SPANLEDGER_KEY": "sl_gateway_key",
        "SPANLEDGER_REDIS_URL": broker_url,
        "SPANLEDGER_GATEWAY_PORT": str(port),
        "SPANLEDGER_GATEWAY_POLL_S": "0.05",
        "SPANLEDGER_SHIP_INTERVAL_S": "0.05",
        "UPSTREAM_KEY": "sk-upstream-secret",
        **environment,
    }
    url = f"http://127.0.0.1:{port}"

    def begin() -> Server:
        return start(command("gateway"), home / "gateway.log", answers(f"{url}/healthz"), os.environ | env)

    gateway = RunningGateway(url, home, collector, begin, begin())
    try:
        yield gateway
    finally:
        gateway.server.stop()


@pytest.fixture
def gateway(_gateway: RunningGateway, redis_url: str) -> RunningGateway:
    """The shared gateway, with an empty Redis."""
    return _gateway


@pytest.fixture
def primary() -> Iterator[ModelServer]:
    with ModelServer(answer="Paris.") as server:
        yield server


@pytest.fixture
def backup() -> Iterator[ModelServer]:
    with ModelServer(answer="Paris, says the backup.") as server:
        yield server


@pytest.fixture
def budget() -> str:
    """A name of the test's own: a gateway remembers what it knew of a counter that Redis lost."""
    return f"budget-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def counter(redis_url: str, budget: str) -> Iterator[Counter]:
    """The counter of this month of the budget ``budget``."""
    with redis.Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield Counter(client, counter_key("shop", budget, "month", datetime.now(UTC)))
