"""A call that is no repeat takes its flight's lease and books its budget in one command to Redis."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanledger import semconv
from spanledger.serving.snapshot import Budget, CacheRule
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import KEY, MODEL, RunningGateway, running
from tests.gateway.money import PRICE, TEN, Counter

pytestmark = pytest.mark.broker


def question() -> str:
    return uuid.uuid4().hex


def test_a_miss_asks_redis_once_before_its_upstream(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(1000))}, cache=CacheRule())
    primary.set(answer=TEN, first_token_s=0.3)
    gateway.chat(question(), max_tokens=10)  # the scripts are known from here on
    with counter.client.monitor() as monitor, ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, question(), max_tokens=10)
        commands: list[str] = []
        for told in monitor.listen():
            if told["client_type"] != "lua" and counter.key in told["command"]:
                commands.append(told["command"])
                if len(commands) == 2:
                    break
        assert call.result().status == 200
    booked, settled = commands
    assert "spanledger:cache-flight:" in booked
    assert "spanledger:cache-flight:" not in settled
    assert counter.comes_to(20)


def test_concurrent_callers_of_two_gateways_use_a_budget_up_exactly(
    gateway: RunningGateway,
    primary: ModelServer,
    budget: str,
    counter: Counter,
    redis_url: str,
    tmp_path: Path,
) -> None:
    project: dict[str, Any] = {
        "prices": (PRICE,),
        "budgets": {budget: Budget(amount=Decimal(70))},
        "cache": CacheRule(),
    }
    gateway.route(primary, **project)
    primary.set(answer=TEN, latency_s=0.01)
    collector = StandInCollector()
    collector.start()
    try:
        with running(tmp_path, collector, redis_url) as other, ThreadPoolExecutor(32) as pool:
            other.route(primary, **project)
            calls = [
                pool.submit(one.chat, question(), max_tokens=limit)
                for one in (gateway, other)
                for limit in [10, 4000] * 8
            ]
            statuses = [call.result().status for call in calls]
    finally:
        collector.stop()
    assert statuses.count(200) == 7
    assert set(statuses) == {200, 429}
    assert counter.comes_to(70)


def test_what_another_gateway_kept_needs_no_budget_and_no_price(
    gateway: RunningGateway,
    primary: ModelServer,
    budget: str,
    counter: Counter,
    redis_url: str,
    tmp_path: Path,
) -> None:
    rule = CacheRule()
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(10))}, cache=rule)
    primary.set(answer=TEN)
    asked = question()
    assert gateway.chat(asked, max_tokens=10).status == 200
    assert gateway.chat(question(), max_tokens=10).status == 429
    assert counter.refused == 1
    collector = StandInCollector()
    collector.start()
    try:
        with running(tmp_path, collector, redis_url) as other:
            other.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(10))}, cache=rule)
            hit = other.chat(asked, max_tokens=10)
    finally:
        collector.stop()
    assert (hit.status, hit.headers[semconv.HEADER_CACHE]) == (200, "exact")
    assert counter.refused == 1
    assert counter.comes_to(10)
    # Without a price the call itself would be refused; what is kept is not.
    gateway.change(prices=(), budgets={budget: Budget(amount=Decimal(1000))})
    assert gateway.chat(asked, max_tokens=10).headers[semconv.HEADER_CACHE] == "exact"


def test_a_call_refused_with_its_look_lets_others_ask(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(0))}, cache=CacheRule())
    asked = question()
    assert [gateway.chat(asked, max_tokens=10).status for _ in range(2)] == [429, 429]
    assert counter.refused == 2
    assert not counter.client.keys("spanledger:cache-flight:*")
    gateway.change(budgets={budget: Budget(amount=Decimal(100))})
    primary.set(answer=TEN)
    answers = [gateway.chat(asked, max_tokens=10) for _ in range(2)]
    assert [answer.headers[semconv.HEADER_CACHE] for answer in answers] == ["miss", "exact"]
    assert counter.comes_to(10)


def test_a_failure_with_the_look_books_its_fallback_anew(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(
        primary, backup, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(100))}, cache=CacheRule()
    )
    primary.set(error_status=500)
    backup.set(answer=TEN)
    answer = gateway.chat(question(), max_tokens=10)
    assert (answer.status, answer.headers[semconv.HEADER_UPSTREAM]) == (200, "up1")
    attempts = gateway.spans(answer, 3)[1:]
    assert [span[semconv.ATTEMPT] for span in attempts] == [1, 2]
    assert counter.comes_to(10)


def test_redis_that_forgot_the_script_books_once(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(100))}, cache=CacheRule())
    primary.set(answer=TEN)
    assert gateway.chat(question(), max_tokens=10).status == 200
    assert counter.comes_to(10)
    counter.client.script_flush()
    assert gateway.chat(question(), max_tokens=10).status == 200
    assert counter.comes_to(20)


def test_a_caller_who_leaves_while_redis_thinks_leaves_nothing_booked(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(100))}, cache=CacheRule())
    primary.set(answer=TEN)
    assert gateway.chat(question(), max_tokens=10).status == 200
    assert counter.comes_to(10)
    asked = question()
    leaver = http.client.HTTPConnection("127.0.0.1", gateway.port)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": asked}], "max_tokens": 10})
    counter.client.client_pause(600)
    leaver.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {KEY}"})
    time.sleep(0.2)
    leaver.close()
    assert counter.comes_to(10)
    assert len(primary.calls) == 1
    assert gateway.chat(asked, max_tokens=10).headers[semconv.HEADER_CACHE] == "miss"
    assert counter.comes_to(20)
