"""A price document that speaks of the past reprices it once, says so, and leaves the future to the collector."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.window import DAY, Window
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.price_tables import price_tables, table_of
from spanledger_workers.memory import Memory, connect_memory
from spanledger_workers.repricing import Repricer, span_of, tell_disagreements
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

TODAY = Window(NOON // DAY * DAY, NOON // DAY * DAY + DAY)


@pytest.fixture
def redis(redis_url: str) -> Memory:
    return connect_memory(redis_url)


def price(version: int = 1, project: str = "p", since: str = "2026-09-01", **more: Any) -> Version:
    document = {
        "provider": "openai",
        "model": "gpt-4o",
        "from": since,
        "input": "1",
        "output": "2",
        **more,
    }
    return Version(
        project=project, kind="price", name="deal", version=version, document=document, author="ana", time=NOON + DAY, note="late"
    )  # fmt: skip


def tick(
    store: Store, redis: Memory, *rows: Version, now: int = NOON + 2 * DAY
) -> tuple[dict[str, int], list[str]]:
    tables = price_tables(rows)
    repricer = Repricer(
        store=store.client,
        redis=redis,
        tables=lambda project: table_of(tables, project),
        projects=lambda: ["p", "q"],
    )
    told = repricer.tick(rows, now)
    return repricer.did, [event.title for event in told]


def test_a_document_reprices_the_past_once_and_tells_it(store: Store, redis: Memory) -> None:
    insert(store.client, call(1), call(2, project="q"))
    did, told = tick(store, redis, price())
    assert (did["changed"], told) == (1, ["1 past calls were priced anew by deal version 1"])
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert whole.cost == Decimal("0.00002")
    assert tick(store, redis, price()) == ({"documents": 0, "calls": 0, "changed": 0}, [])
    assert tick(store, redis, price(version=2, output="4"))[0]["changed"] == 1


def test_a_document_of_all_projects_reprices_each(store: Store, redis: Memory) -> None:
    insert(store.client, call(1), call(2, project="q"))
    assert tick(store, redis, price(project="*"))[0]["changed"] == 2


def test_a_document_that_begins_in_the_future_has_nothing_to_reprice() -> None:
    begin, end = span_of(price(since="2027-01-01"), NOON + 2 * DAY)
    assert begin > end
    begin, end = span_of(price(until="2026-09-02"), NOON + 2 * DAY)
    assert (end - begin) == DAY


def test_a_disagreement_is_told_once_a_month(store: Store) -> None:
    insert(store.client, call(1, cost_reported=Decimal("0.5")))
    now = time.time_ns()
    table = table_of({}, "p")
    found, told = tell_disagreements(store.client, "p", TODAY, table, now)
    assert "reported" in {one.source for one in found}
    assert told[0].title.startswith("Our price of gpt-4o and")
    assert tell_disagreements(store.client, "p", TODAY, table, now)[1] == []
