"""Budget steps are told once each, from the ledger's spend and the gateways' counter."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.serving.budgets import MISSING, RESERVE, counter_key
from spanledger_collector.store.registry.serving import Budget
from spanledger_workers.budgets import Budgets
from spanledger_workers.clock import SECOND
from spanledger_workers.memory import Memory, connect_memory
from tests.collector.rows import NOON, call, insert
from tests.conftest import Store

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
