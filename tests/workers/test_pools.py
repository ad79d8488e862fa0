"""Pools are metered interval by interval; late calls and changed documents restate, and the bill never changes by them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spanledger.prices import PriceTable
from spanledger.records import CallRecord
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.window import DAY, Window
from spanledger_collector.store.registry.finance import GpuPool
from spanledger_workers.memory import Memory, connect_memory
from spanledger_workers.pools import Pool, Pools, warm_up
from tests.collector.rows import insert
from tests.stores import Store

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

SECOND = 10**9
MINUTE = 60 * SECOND
MIDNIGHT = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp()) * SECOND
HOUR_LATER = MIDNIGHT + 62 * MINUTE
TODAY = Window(MIDNIGHT, MIDNIGHT + DAY)
DOCUMENT: dict[str, Any] = {
    "hardware": "H100", "count": 2, "usd_per_hour": "3", "from": "2026-11-02", "upstreams": ["local"],
    "reference": {"provider": "openai", "model": "gpt-4o"},
}  # fmt: skip


@pytest.fixture
def redis(redis_url: str) -> Memory:
    return connect_memory(redis_url)


def pool(version: int = 1, owner: str = "p", **more: Any) -> Pool:
    document = GpuPool.model_validate(DOCUMENT | more)
    return Pool(owner=owner, name="h100", version=version, document=document, begin=MIDNIGHT)


def served(number: int, start_s: float, took_s: float, **more: Any) -> CallRecord:
    given: dict[str, Any] = {
        "project": "p", "trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big"),
        "start_time": MIDNIGHT + round(start_s * SECOND), "duration_ns": round(took_s * SECOND), "name": "chat",
        "operation": "chat", "provider": "vllm", "request_model": "llama", "upstream": "local", "gpu_pool": "h100",
        "billable": True, "input_tokens": 1000, "output_tokens": 100, "cost_total": Decimal(77),
        "prefill_ns": 0, "decode_ns": round(took_s * SECOND),
    }  # fmt: skip
    return CallRecord(**(given | more))


def tick(store: Store, redis: Memory, *pools: Pool, now: int = HOUR_LATER) -> dict[str, int]:
    return Pools(store=store.client, redis=redis, prices=lambda _: PriceTable()).tick(pools, now)


def near(one: Decimal, other: Decimal) -> bool:
    """Equal but for the rounding of single shares to 1e-12."""
    return abs(one - other) < Decimal("1e-9")


def lines(store: Store, project: str = "p") -> dict[tuple[str, ...], Decimal]:
    found = ledger.sums(store.client, project, TODAY, ["line", "team"])
    return {entry.group: entry.cost for entry in found}


def test_an_hours_bill_is_the_calls_shares_and_idle_time_and_a_second_tick_adds_nothing(
    store: Store, redis: Memory
) -> None:
    insert(
        store.client, served(1, 0, 60, team="a"), served(2, 10, 50, team="b"), served(3, 3000, 300, team="b")
    )
    first = tick(store, redis, pool())
    assert (first["intervals"], first["restated"]) == (12, 0)
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert (whole.cost, whole.unpriced, whole.calls) == (Decimal(6), 0, 3)
    by = lines(store)
    busy = Decimal(6) / 3600
    assert near(by["call", "a"] + by["call", "b"], busy * 360)
    assert near(by["call", "a"], busy * 60 * 60 / 110)
    assert near(sum(cost for (line, _), cost in by.items() if line == "idle") + Decimal(0), busy * 3240)
    assert tick(store, redis, pool()) == {"intervals": 0, "restated": 0, "rows": 0}
    assert whole.list_cost == 3 * Decimal("0.0035"), "what a vendor would have charged for the same tokens"


def test_a_late_call_moves_shares_and_not_the_bill_and_the_old_figures_stay_readable(
    store: Store, redis: Memory
) -> None:
    insert(store.client, served(1, 0, 60, team="a"))
    tick(store, redis, pool())
    before = lines(store)
    insert(store.client, served(2, 0, 60, team="b"))
    assert tick(store, redis, pool())["restated"] == 1
    after = lines(store)
    assert sum(before.values()) == sum(after.values()) == 6
    assert after["call", "a"] == after["call", "b"] == before["call", "a"] / 2
    signs = store.client.query(
        "SELECT sum(sign), count() FROM gpu_costs WHERE interval_start = toDateTime('2026-11-02', 'UTC')"
    )
    assert signs.result_rows[0][1] > signs.result_rows[0][0] > 0, "the former revision is still there"


def test_a_changed_document_restates_what_it_is_about(store: Store, redis: Memory) -> None:
    insert(store.client, served(1, 0, 60, team="a"))
    tick(store, redis, pool())
    dearer = pool(version=2, usd_per_hour="4")
    while tick(store, redis, dearer)["restated"]:
        pass
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert whole.cost == 8
    assert tick(store, redis, dearer) == {"intervals": 0, "restated": 0, "rows": 0}


def test_engine_time_is_taken_from_the_engines_own_span_of_the_call(store: Store, redis: Memory) -> None:
    bare = {"prefill_ns": None, "decode_ns": None}
    insert(
        store.client,
        served(1, 0, 100, team="a", **bare),
        served(2, 0, 100, team="b", **bare),
        served(3, 0, 100, trace_id=(1).to_bytes(16, "big"), parent_span_id=(1).to_bytes(8, "big"), billable=False,
               prefill_ns=SECOND, decode_ns=29 * SECOND, gpu_pool=""),
        served(4, 0, 100, trace_id=(2).to_bytes(16, "big"), parent_span_id=(2).to_bytes(8, "big"), billable=False,
               prefill_ns=0, decode_ns=60 * SECOND, gpu_pool=""),
    )  # fmt: skip
    tick(store, redis, pool(idle="central"))
    by = lines(store)
    assert near(by["call", "b"], 2 * by["call", "a"])
    basis = {
        entry.group[0]
        for entry in ledger.sums(store.client, "p", TODAY, ["basis"], which=ledger.Ask(only={"line": "call"}))
    }
    assert basis == {"engine_time"}


def test_a_pool_of_all_projects_is_borne_by_the_projects_that_used_it(store: Store, redis: Memory) -> None:
    insert(store.client, served(1, 0, 60), served(2, 0, 60, project="q"))
    tick(store, redis, pool(owner="*", idle="central"))
    p, q, nobody = (sum(lines(store, project).values()) for project in ("p", "q", "*"))
    assert near(p + Decimal(0), Decimal(6) / 120)
    assert near(q + Decimal(0), Decimal(6) / 120)
    assert p + q + nobody == 6


def test_a_month_without_its_invoice_waits_and_its_calls_stay_unpriced(store: Store, redis: Memory) -> None:
    insert(store.client, served(1, 0, 60))
    unknown = pool(usd_per_hour=None, invoice={"2026-10": "100"})
    assert tick(store, redis, unknown)["intervals"] == 0
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert (whole.cost, whole.unpriced) == (0, 1)
    tick(store, redis, pool(version=2, usd_per_hour=None, invoice={"2026-11": "696"}))
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert (whole.cost.quantize(Decimal("1e-9")), whole.unpriced) == (
        Decimal(720) / (30 * 24) + Decimal(0),
        0,
    )


def test_warm_up_follows_each_time_the_pool_is_switched_on() -> None:
    document = pool(warm_up_s=90, schedule=[{"from": "00:10", "until": "12:00"}]).document
    at = MIDNIGHT + 10 * MINUTE
    assert warm_up(document, (at, at + 5 * MINUTE)) == [(at, at + 90 * SECOND)]
    assert warm_up(document, (at + 5 * MINUTE, at + 10 * MINUTE)) == []
