"""Budget steps are told once each, from the ledger's spend and the gateways' counter."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.serving.budgets import MISSING, RESERVE, counter_key
from spanledger_collector.store.registry.serving import Budget
from spanledger_workers.budgets import Budgets
from spanledger_workers.clock import HOUR, SECOND
from spanledger_workers.forecast import forecast, stage_of
from spanledger_workers.memory import Memory, connect_memory
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]
BUDGET = Budget(amount=Decimal("0.01"), period="total", alert_at=[0.5, 1.0])


def reserve(redis: Memory, key: str, amount: int, limit: int) -> int:
    """Ask for ``amount`` nano-dollars as a gateway does; 1 when it is admitted."""
    booking = (0, 60_000, "a", amount, amount, limit, 0, 0)
    return int(redis.eval(RESERVE, 3, key, f"{key}:leases", MISSING, *booking)[0])


def test_a_step_is_told_once_and_the_end_when_a_call_was_refused(store: Store, redis_url: str) -> None:
    now = NOON + 3600 * SECOND
    key = counter_key("p", "b", "total", datetime.fromtimestamp(now // SECOND, UTC))
    budgets = Budgets(store=store.client, redis=(redis := connect_memory(redis_url)))
    insert(store.client, *(call(number) for number in range(1, 10)))  # 0.009 of 0.01 USD

    first = budgets.tick([("p", "b", BUDGET)], now)
    again = budgets.tick([("p", "b", BUDGET)], now + SECOND)
    admitted = reserve(redis, key, 2_000_000, 10_000_000)
    last = budgets.tick([("p", "b", BUDGET)], now + 2 * SECOND)

    assert [(event.kind, event.title) for event in first] == [
        ("budget_step", "Budget b reached 50%"),
        ("alert", "Budget b reached 50%"),
    ]
    assert again == []
    assert admitted == 0
    assert [(event.kind, event.title, event.state) for event in last] == [
        ("budget_step", "Budget b is used up", "blocked"),
        ("alert", "Budget b is used up", "firing"),
    ]
    assert "calls that would pass 100% are refused" in last[0].message
    assert last[0].severity == "critical"


def test_a_forecast_takes_the_lower_of_its_windows_and_a_stage_is_left_later_than_entered() -> None:
    budget = Budget(
        amount=Decimal(100), period="day", forecast_at=[1.0], forecast_cheaper_at=1.2, cheaper_route="cheap"
    )
    burst = forecast(Decimal(10), [Decimal(1), Decimal(50)], 10 * HOUR)
    assert (burst.expected, burst.usd_per_hour) == (Decimal(20), Decimal(1))
    assert stage_of(budget, burst.expected, "") == ""
    assert stage_of(budget, Decimal(100), "") == "warned"
    assert stage_of(budget, Decimal(130), "") == "cheaper"
    assert stage_of(budget, Decimal(110), "cheaper") == "cheaper"
    assert stage_of(budget, Decimal(107), "cheaper") == "warned"
    assert stage_of(budget, Decimal(95), "warned") == "warned"
    assert stage_of(budget, Decimal(89), "warned") == ""


def test_what_will_be_too_dear_is_told_and_sends_calls_elsewhere_until_it_is_on_track(
    store: Store, redis_url: str
) -> None:
    now = NOON + 3600 * SECOND
    budget = Budget(
        amount=Decimal("0.1"), period="day", alert_at=[], forecast_at=[0.8], forecast_cache_only_at=1.0
    )
    key = counter_key("p", "b", "day", datetime.fromtimestamp(now // SECOND, UTC))
    budgets = Budgets(store=store.client, redis=(redis := connect_memory(redis_url)))
    step = 60 * SECOND  # 0.001 USD a minute: 0.66 USD until midnight
    insert(store.client, *(call(n, start_time=now - n * step) for n in range(1, 60)))
    told = budgets.tick([("p", "b", budget)], now)
    assert [(event.kind, event.state) for event in told] == [
        ("budget_step", "cache_only"),
        ("alert", "firing"),
    ]
    assert "only the cache answers" in told[0].title
    assert redis.hget(key, "stage") == "cache_only"
    assert reserve(redis, key, 1, 10**12) == 0
    assert budgets.tick([("p", "b", budget)], now + SECOND) == []
    later = budgets.tick([("p", "b", budget)], now + 3 * HOUR)
    assert [(event.kind, event.state) for event in later] == [
        ("budget_step", "on_track"),
        ("alert", "resolved"),
    ]
    assert reserve(redis, key, 1, 10**12) == 1


def test_one_budget_covers_api_gpu_and_evaluation_or_those_it_names(store: Store, redis_url: str) -> None:
    now = NOON + 3600 * SECOND
    insert(
        store.client,
        call(1, start_time=NOON),
        call(2, start_time=NOON, purpose="eval"),
        call(3, start_time=NOON - 86_400 * SECOND),  # the day before, from the sums by day
    )
    stamp = datetime.fromtimestamp(NOON // SECOND, UTC)
    store.client.insert(
        "gpu_costs",
        [["p", "p", stamp, 60, 1, 1, stamp, stamp, "idle", "policy", False, "gpu", Decimal("0.25")]],
        column_names=[
            "project", "pool_project", "interval_start", "interval_s", "revision", "sign", "time", "known_at", "line",
            "basis", "home", "category", "cost",
        ],
    )  # fmt: skip
    budgets = Budgets(store=store.client, redis=(redis := connect_memory(redis_url)))
    wanted = {"all": [], "models": ["api"], "judges": ["evaluation"], "own": ["gpu", "evaluation"]}
    documents = [
        ("p", name, Budget.model_validate({"amount": "10", "period": "month", "covers": covers}))
        for name, covers in wanted.items()
    ]
    budgets.tick(documents, now)
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    spent = {name: redis.hget(counter_key("p", name, "month", moment), "spent") for name in wanted}
    assert spent == {"all": "253000000", "models": "2000000", "judges": "1000000", "own": "251000000"}


def test_a_budget_over_all_projects_counts_what_all_of_them_spent(store: Store, redis_url: str) -> None:
    now = NOON + 3600 * SECOND
    insert(
        store.client,
        *(call(n, project=f"p{n}", start_time=NOON, organisation="acme") for n in range(1, 4)),
        call(4, project="p4", start_time=NOON, organisation="other"),
        call(5, project="p1", start_time=NOON - 86_400 * SECOND, organisation="acme"),
    )
    budgets = Budgets(store=store.client, redis=(redis := connect_memory(redis_url)))
    scopes: dict[str, dict[str, str]] = {
        "acme": {"organisation": "acme"}, "gpt": {"organisation": "acme", "model": "gpt-4o"}, "every": {},
    }  # fmt: skip
    documents = [
        ("*", name, Budget.model_validate({"amount": "0.004", "scope": scope}))
        for name, scope in scopes.items()
    ]
    told = budgets.tick(documents, now)
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    spent = {name: redis.hget(counter_key("*", name, "month", moment), "spent") for name in scopes}
    assert spent == {"acme": "4000000", "gpt": "4000000", "every": "5000000"}
    assert {event.project for event in told} == {"*"}
    assert {event.title for event in told if event.state == "blocked"} == {
        f"Budget {name} is used up" for name in scopes
    }


def test_every_stage_of_a_budget_is_told_by_what_it_does(store: Store, redis_url: str) -> None:
    budget = Budget(
        amount=Decimal("0.01"), period="total", alert_at=[0.5], cheaper_at=0.6, cheaper_route="cheap",
        cache_only_at=0.7, block_at=None,
    )  # fmt: skip
    budgets = Budgets(store=store.client, redis=connect_memory(redis_url))
    insert(store.client, *(call(number) for number in range(1, 9)))
    told = budgets.tick([("p", "b", budget)], NOON + 3600 * SECOND)
    steps = [(event.title, event.state) for event in told if event.kind == "budget_step"]
    assert steps == [
        ("Budget b reached 50%", "reached"),
        ("Budget b reached 60%: calls go to cheap", "cheaper"),
        ("Budget b reached 70%: only the cache answers", "cache_only"),
    ]
