"""Budgets: refusals that name them, exact admission under races, settlement, and Redis that loses its data."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanledger import semconv
from spanledger.serving.budgets import MISSING, REBUILD
from spanledger.serving.snapshot import Budget, CacheRule, Price, Route, Target, Upstream
from spanledger.testing.model_server import ModelServer
from tests.gateway.collector import StandInCollector
from tests.gateway.conftest import MODEL, RunningGateway, plan, running
from tests.gateway.money import PRICE, TEN, Counter
from tests.servers import free_port

pytestmark = pytest.mark.broker


def test_a_used_up_budget_refuses_and_names_itself_and_its_reset(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(25))})
    primary.set(answer=TEN)
    answers = [gateway.chat(max_tokens=10) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    error = answers[2].json["error"]
    assert error["code"] == "budget_exceeded"
    assert error["budget"] == budget
    assert error["resets_at"] in error["message"]
    assert error["resets_at"].endswith("-01T00:00:00Z")
    assert answers[2].headers["x-should-retry"] == "false"
    assert int(answers[2].headers["retry-after"]) > 0
    assert counter.comes_to(20)
    (request,) = gateway.spans(answers[2], 1)
    assert request[semconv.ERROR_TYPE] == "budget_exceeded"
    assert len(primary.calls) == 2


@pytest.mark.parametrize("limits", [{"max_tokens": 10}, {"max_tokens": 4000}, {}], ids=str)
def test_concurrent_callers_use_a_budget_up_exactly(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter, limits: dict[str, Any]
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(70))})
    primary.set(answer=TEN, latency_s=0.01)
    with ThreadPoolExecutor(32) as pool:
        calls = [pool.submit(gateway.chat, **limits) for _ in range(32)]
        statuses = [call.result().status for call in calls]
    assert statuses.count(200) == 7
    assert set(statuses) == {200, 429}
    assert counter.comes_to(70)


@pytest.mark.parametrize(
    ("scope", "blocks"),
    [
        ({"team": "search"}, True),
        ({"team": "other"}, False),
        ({"key_id": "test"}, True),
        ({"user_id": "u1"}, True),
        ({"user_id": "u2"}, False),
        ({"route": MODEL}, True),
        ({"feature": "faq", "team": "search"}, True),
        ({"feature": "faq", "team": "other"}, False),
    ],
    ids=str,
)
def test_a_budget_counts_the_calls_in_its_scope(
    gateway: RunningGateway, primary: ModelServer, budget: str, scope: dict[str, str], blocks: bool
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(10), scope=scope)})
    primary.set(answer=TEN)
    headers = {"x-spanledger-user": "u1", "x-spanledger-feature": "faq"}
    statuses = [gateway.chat(max_tokens=10, headers=headers).status for _ in range(2)]
    assert statuses == [200, 429 if blocks else 200]


def test_a_failed_call_costs_nothing_and_gives_its_booking_back(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(10))})
    primary.set(error_status=400)
    assert gateway.chat(max_tokens=10).status == 400
    assert counter.comes_to(0)
    primary.set(error_status=0, answer=TEN)
    assert gateway.chat(max_tokens=10).status == 200


def test_a_fallback_that_costs_more_is_checked_again(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, budget: str, counter: Counter
) -> None:
    free = Price(name="f", version=1, provider="free", model=MODEL, input=Decimal(0), output=Decimal(0))
    gateway.route(primary, backup, prices=(PRICE, free), budgets={budget: Budget(amount=Decimal(15))})
    cheap = Upstream(base_url=primary.base_url, provider="free", allow_private=True)
    gateway.change(upstreams={**gateway.project.upstreams, "up0": cheap})
    primary.set(error_status=500)
    backup.set(answer=TEN)
    assert [gateway.chat(max_tokens=10).status for _ in range(2)] == [200, 502]
    assert len(backup.calls) == 1
    assert counter.comes_to(10)


def test_a_stream_is_settled_by_its_usage(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(100))})
    primary.set(answer=TEN)
    gateway.chat(stream=True, max_tokens=50)
    assert counter.comes_to(10)


def test_a_counter_that_redis_lost_starts_from_what_the_gateway_knew_and_asks_for_a_rebuild(
    gateway: RunningGateway, primary: ModelServer, budget: str, counter: Counter
) -> None:
    gateway.route(primary, prices=(PRICE,), budgets={budget: Budget(amount=Decimal(50))})
    primary.set(answer=TEN)
    gateway.chat(max_tokens=10)
    gateway.chat(max_tokens=10)
    assert counter.comes_to(20)
    counter.client.flushall()
    assert gateway.chat(max_tokens=10).status == 200
    assert counter.comes_to(30)
    assert counter.client.smembers(MISSING) == {counter.key.encode()}
    counter.client.eval(REBUILD, 2, counter.key, MISSING, 45 * 10**9)
    assert counter.client.smembers(MISSING) == set()
    assert gateway.chat(max_tokens=10).status == 429


def test_a_budget_steps_down_to_a_cheaper_route_then_to_the_cache_then_blocks(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, budget: str, counter: Counter
) -> None:
    stages = Budget(
        amount=Decimal(100), cheaper_at=0.1, cheaper_route="small", cache_only_at=0.3, block_at=1.0
    )
    cheap = Route(targets=(Target(upstream="up1", model="small-model"),))
    small = Price(
        name="s", version=1, provider="openai", model="small-model", input=Decimal(0), output=Decimal(10**6)
    )
    gateway.route(
        primary,
        backup,
        prices=(PRICE, small),
        budgets={budget: stages},
        routes={"small": cheap},
        cache=CacheRule(),
    )
    for server in (primary, backup):
        server.set(answer=TEN)
    kept = f"q{uuid.uuid4().hex}"
    assert gateway.chat(kept, max_tokens=10).status == 200
    assert counter.comes_to(10)
    stepped = gateway.chat(f"q{uuid.uuid4().hex}", max_tokens=10)
    assert (len(primary.calls), [call.model for call in backup.calls]) == (1, ["small-model"])
    assert gateway.spans(stepped, 2)[1][semconv.ROUTE_REASON] == f"budget {budget}"
    assert gateway.chat(f"q{uuid.uuid4().hex}", max_tokens=10).status == 200
    assert counter.comes_to(30)
    refused = gateway.chat(f"q{uuid.uuid4().hex}", max_tokens=10)
    assert refused.status == 429
    assert "cache-only" in refused.json["error"]["message"]
    assert gateway.chat(kept, max_tokens=10).headers["x-spanledger-cache"] == "exact"


def test_a_budget_that_cannot_be_checked_refuses_and_other_calls_go_on(
    tmp_path: Path, primary: ModelServer
) -> None:
    collector = StandInCollector()
    collector.start()
    with running(tmp_path, collector, f"redis://127.0.0.1:{free_port()}/0") as gateway:
        team = Budget(amount=Decimal(10), scope={"feature": "dear"})
        gateway.install(plan(primary, prices=(PRICE,), budgets={"b": team}))
        assert gateway.chat().status == 200
        refused = gateway.chat(headers={"x-spanledger-feature": "dear"})
        assert (refused.status, refused.json["error"]["code"]) == (503, "budget_unavailable")
    collector.stop()
