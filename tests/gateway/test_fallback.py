"""Which failures go to the next target, in which order, and what the caller is told when none answers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from spanledger import semconv
from spanledger.serving.snapshot import Upstream
from spanledger.testing.model_server import ModelServer
from tests.gateway.conftest import MODEL, RunningGateway
from tests.servers import free_port

pytestmark = pytest.mark.broker

FAULTS: list[dict[str, Any]] = [
    {"error_status": 500},
    {"error_status": 503},
    {"error_status": 429, "retry_after_s": 20},
    {"error_status": 401},
    {"error_status": 404},
    {"fault": "reset"},
    {"fault": "malformed"},
    {"fault": "empty"},
    {"fault": "timeout"},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_failing_primary_is_asked_once_and_the_backup_answers(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, fault: dict[str, Any], stream: bool
) -> None:
    gateway.route(primary, backup, timeout_s=0.5, first_token_timeout_s=0.5)
    primary.set(**fault)
    began = time.monotonic()
    answer = gateway.chat(stream=stream)
    assert answer.status == 200
    assert b"backup" in answer.body
    assert time.monotonic() - began < 1.5
    assert (len(primary.calls), len(backup.calls)) == (1, 1)
    assert answer.headers["x-spanledger-fallback"] == f"up0/{MODEL}"
    request, first, second = gateway.spans(answer, 3)
    assert request.status_code == 0
    assert first.status_code == 2
    assert (first[semconv.BILLABLE], second[semconv.BILLABLE]) == (False, True)
    assert (first[semconv.ATTEMPT], second[semconv.ATTEMPT]) == (1, 2)
    assert second[semconv.FALLBACK_FROM] == f"up0/{MODEL}"
    assert second[semconv.ROUTE_REASON] == first[semconv.ERROR_TYPE]


def test_a_refused_connection_falls_back(gateway: RunningGateway, backup: ModelServer) -> None:
    gateway.route(backup, backup)
    dead = Upstream(base_url=f"http://127.0.0.1:{free_port()}/v1", allow_private=True)
    gateway.change(upstreams={**gateway.project.upstreams, "up0": dead})
    assert gateway.chat().status == 200


def test_the_caller_s_own_mistake_is_told_and_not_retried(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    gateway.route(primary, backup)
    primary.set(error_status=400)
    answer = gateway.chat()
    assert answer.status == 400
    assert answer.json["error"]["message"]
    assert (len(primary.calls), len(backup.calls)) == (1, 0)


def test_with_no_target_left_the_same_is_asked_again_after_its_retry_after(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary)
    primary.set(error_status=429, retry_after_s=1, error_times=1)
    began = time.monotonic()
    answer = gateway.chat()
    assert answer.status == 200
    assert time.monotonic() - began >= 1
    assert len(primary.calls) == 2


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"error_status": 500}, 502, "upstream_failed"),
        ({"error_status": 401}, 502, "upstream_failed"),
        ({"error_status": 429}, 429, "upstream_rate_limited"),
        ({"fault": "timeout"}, 504, "upstream_timeout"),
    ],
    ids=str,
)
def test_when_all_fail_the_caller_learns_why(
    gateway: RunningGateway, primary: ModelServer, fault: dict[str, Any], status: int, code: str
) -> None:
    gateway.route(primary, timeout_s=0.2)
    primary.set(**fault)
    answer = gateway.chat()
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert len(primary.calls) == 3
    request = gateway.spans(answer, 4)[0]
    assert request.status_code == 2
    assert request[semconv.INPUT_MESSAGES]


def test_a_target_that_keeps_failing_is_passed_by_until_its_cooldown_is_over(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    gateway.route(primary, backup)
    primary.set(error_status=500)
    for _ in range(6):
        assert gateway.chat().status == 200
    assert len(primary.calls) == 3
    assert "spanledger_gateway_attempts" in gateway.get("/metrics").body.decode()


def test_the_route_state_in_redis_is_obeyed_within_two_seconds(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, redis_url: str
) -> None:
    gateway.route(primary, backup)
    key = f"spanledger:route:shop:{MODEL}"
    with redis.Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        client.hset(key, mapping={"state": "fallback", "reason": "quality", "since": 1, "canary": "0"})
        _wait(lambda: b"backup" in gateway.chat().body, 2)
        answer = gateway.chat()
        assert answer.headers["x-spanledger-fallback"] == f"up0/{MODEL}"
        assert gateway.spans(answer, 2)[1][semconv.ROUTE_REASON] == "quality"
        client.delete(key)
        _wait(lambda: b"backup" not in gateway.chat().body, 2)


def _wait(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
