"""The ledger adds up: rows, daily sums and every grouping tell one amount, now and as known before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.ledger import Ask
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

MIDNIGHT = NOON // DAY * DAY
TODAY = datetime.fromtimestamp(MIDNIGHT // 10**9, UTC).date()
DAYS = Window(MIDNIGHT, MIDNIGHT + DAY)
HOURS = Window(MIDNIGHT, MIDNIGHT + 23 * HOUR)


def reprice(client: Client, number: int, old: str | None, new: str | None, **more: Any) -> None:
    row: dict[str, Any] = {
        "repricing_id": "run-1",
        "project": "p",
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "start_time": NOON + number * 10**9,
        "time": datetime.now(UTC),
        "category": "api",
        "team": "",
        "model": "gpt-4o",
        "provider": "openai",
        "old_cost": old and Decimal(old),
        "new_cost": new and Decimal(new),
        **more,
    }
    client.insert("repricings", [list(row.values())], column_names=list(row))


def gpu_row(client: Client, number: int, cost: str, *, revision: int = 1, sign: int = 1, **more: Any) -> None:
    row: dict[str, Any] = {
        "project": "p",
        "pool_project": "p",
        "interval_start": datetime.fromtimestamp(NOON // 10**9, UTC),
        "interval_s": 300,
        "revision": revision,
        "sign": sign,
        "time": datetime.fromtimestamp(NOON // 10**9 + number, UTC),
        "known_at": datetime.now(UTC),
        "line": "call",
        "basis": "engine_time",
        "home": True,
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "category": "gpu",
        "gpu_pool": "h100",
        "engine_ns": 5,
        "cost": Decimal(cost),
        "list_cost": Decimal("0.5"),
        **more,
    }
    client.insert("gpu_costs", [list(row.values())], column_names=list(row))


def both(store: Store, by: tuple[str, ...] = (), which: Ask | None = None) -> list[ledger.Sum]:
    """The same question to the daily sums and to the rows, which must agree."""
    assert ledger.source_of(DAYS, by, None, which or Ask()) != "ledger"
    assert ledger.source_of(HOURS, by, None, which or Ask()) == "ledger"
    by_day = ledger.sums(store.client, "p", DAYS, by, which=which)
    by_row = ledger.sums(store.client, "p", HOURS, by, which=which)
    assert by_day == by_row
    return by_day


def test_every_kind_of_spend_has_its_category_and_adds_up(store: Store) -> None:
    insert(
        store.client,
        call(1, team="a"),
        call(2, team="a", purpose="eval"),
        call(3, team="b", operation="embeddings"),
        call(4, team="b", purpose="cache_check"),
        call(5, team="b", gpu_pool="h100", cost_total=Decimal(9)),
        call(6, team="b", cost_total=None),
        call(7, team="b", cache="exact", cost_total=Decimal(0), cost_saved=Decimal("0.7")),
        call(8, team="c", billable=False, cost_total=Decimal(99)),
    )
    gpu_row(store.client, 5, "0.25", team="b")
    gpu_row(store.client, 0, "0.05", line="idle", home=False, list_cost=None, team="b")
    (whole,) = both(store)
    assert (whole.cost, whole.saved, whole.list_cost, whole.calls, whole.unpriced) == (
        Decimal("4.304") - 4,
        Decimal("0.7"),
        Decimal("0.5"),
        7,
        1,
    )
    found = {entry.group: entry for entry in both(store, ("category", "team"))}
    assert {group: entry.cost for group, entry in found.items()} == {
        ("api", "a"): Decimal("0.001"),
        ("evaluation", "a"): Decimal("0.001"),
        ("embedding", "b"): Decimal("0.001"),
        ("cache_check", "b"): Decimal("0.001"),
        ("gpu", "b"): Decimal("0.30"),
        ("api", "b"): Decimal(0),
    }
    assert found["gpu", "b"].unpriced == 0, "the call's cost is its share of the pool, not its price"
    assert found["api", "b"].unpriced == 1


def test_a_gpu_call_is_unknown_until_its_interval_is_metered(store: Store) -> None:
    insert(store.client, call(1, gpu_pool="h100", cost_total=Decimal(9)))
    (before,) = both(store)
    assert (before.cost, before.unpriced) == (0, 1)
    gpu_row(store.client, 1, "0.25")
    gpu_row(store.client, 1, "0.25", sign=-1)
    gpu_row(store.client, 1, "0.20", revision=2)
    (after,) = both(store)
    assert (after.cost, after.unpriced, after.engine_ns, after.list_cost) == (
        Decimal("0.20"), 0, 5, Decimal("0.5"),
    )  # fmt: skip


def test_a_repriced_call_counts_its_newest_price_and_the_older_rollups_follow(store: Store) -> None:
    insert(store.client, call(1, cost_total=None), call(2, cost_total=Decimal("0.002")))
    reprice(store.client, 1, None, "0.004")
    reprice(store.client, 2, "0.002", "0.001")
    (found,) = both(store)
    assert (found.cost, found.unpriced, found.calls) == (Decimal("0.005"), 0, 2)
    for rollup in ("cost_day", "cost_hour"):
        rows = store.client.query(f"SELECT toString(sum(cost)), sum(unpriced), sum(calls) FROM {rollup}")  # noqa: S608
        assert rows.result_rows == [("0.005", 0, 2)]
    reprice(store.client, 1, "0.004", None)
    (again,) = both(store)
    assert (again.cost, again.unpriced) == (Decimal("0.001"), 1)


def test_the_figure_as_known_before_a_day_stays_readable(store: Store) -> None:
    insert(store.client, call(1, cost_total=Decimal("0.002")))
    today = datetime.now(UTC).date()
    reprice(store.client, 1, "0.002", "0.001", time=datetime.now(UTC) + timedelta(days=3))
    (now,) = both(store)
    (then,) = both(store, which=Ask(known_before=today + timedelta(days=2)))
    assert (now.cost, then.cost) == (Decimal("0.001"), Decimal("0.002"))
    assert both(store, which=Ask(known_before=date(2000, 1, 1))) == []


def test_a_closed_month_changes_by_adjustments_only(store: Store) -> None:
    client = store.client
    insert(client, call(1, cost_total=Decimal("0.002")))
    cutoff = datetime.now(UTC).date() + timedelta(days=1)
    month = TODAY.replace(day=1)
    client.insert(
        "months",
        [["p", month, "closed", cutoff, "ana", datetime.now(UTC)]],
        column_names=["project", "month", "state", "cutoff", "author", "time"],
    )
    reprice(client, 1, "0.002", "0.001", time=datetime.now(UTC) + timedelta(days=3))
    (closed,) = both(store)
    (open_,) = both(store, which=Ask(as_closed=False))
    assert (closed.cost, open_.cost) == (Decimal("0.002"), Decimal("0.001"))
    client.insert(
        "adjustments",
        [["x", "p", month, datetime.fromtimestamp(NOON // 10**9, UTC), "reprice", "adjustment", Decimal("-0.001"), "USD", Decimal("-0.001")]],
        column_names=["adjustment_id", "project", "month", "time", "kind", "category", "amount", "currency", "cost"],
    )  # fmt: skip
    (adjusted,) = both(store)
    assert adjusted.cost == Decimal("0.001")


def test_tags_part_the_rows_and_a_single_tag_filters_them(store: Store) -> None:
    insert(
        store.client,
        call(1, tags=["b", "cc:42", "a"]),
        call(2, tags=["cc=42"]),
        call(3, tags=["cc:7"]),
        call(4),
    )
    sums = {entry.group[0]: entry.calls for entry in ledger.sums(store.client, "p", DAYS, ["tag:cc"])}
    assert sums == {"42": 2, "7": 1, "": 1}
    sets = {entry.group[0]: entry.calls for entry in ledger.sums(store.client, "p", DAYS, ["tags"])}
    assert sets == {"a,b,cc:42": 1, "cc=42": 1, "cc:7": 1, "": 1}
    (tagged,) = ledger.sums(store.client, "p", DAYS, which=Ask(tag=["a", "b"]))
    assert tagged.calls == 1


@pytest.mark.parametrize(
    "by", [("user_id",), ("user_id", "team"), ("tags", "model"), ("tag:cc",), ("category",)]
)
def test_daily_sums_by_user_and_by_tag_are_the_rows_sums(store: Store, by: tuple[str, ...]) -> None:
    insert(
        store.client,
        call(1, user_id="u", tags=["cc:1", "a"], team="x"),
        call(2, user_id="v", tags=["cc:2"], cost_total=None),
        call(3, user_id="v", gpu_pool="h100", cost_total=None, tags=["cc:1"]),
        call(4, cache="exact", cost_total=Decimal(0), cost_saved=Decimal("0.3"), purpose="eval"),
    )
    reprice(store.client, 2, None, "0.5", user_id="v", tags=["cc:2"])
    gpu_row(store.client, 3, "0.25", user_id="v", tags=["cc:1"], model="gpt-4o")
    found = both(store, by)
    assert sum(entry.cost for entry in found) == Decimal("0.751")
    assert sum(entry.unpriced for entry in found) == 0


def test_another_currency_is_converted_by_the_rate_of_each_rows_day(store: Store) -> None:
    insert(store.client, call(1, cost_total=Decimal("1.000000001")))
    insert(store.client, call(2, start_time=NOON + DAY, cost_total=Decimal(2)))
    two_days = Window(MIDNIGHT, MIDNIGHT + 2 * DAY)
    rates = [(TODAY, Decimal("0.9")), (TODAY + timedelta(days=1), Decimal("0.8"))]
    (found,) = ledger.sums(store.client, "p", two_days, rates=rates)
    assert found.cost == Decimal("0.9000000009") + Decimal("1.6")
    days = ledger.sums(store.client, "p", two_days, rates=rates, step_s=86400)
    assert sum(day.cost for day in days) == found.cost


def test_an_unknown_dimension_is_no_sql(store: Store) -> None:
    with pytest.raises(KeyError):
        ledger.sums(store.client, "p", DAYS, ["team; DROP TABLE spans"])
    insert(store.client, call(1))
    (found,) = ledger.sums(store.client, "p", DAYS, ["tag:x'); DROP TABLE spans --"])
    assert found.group == ("",)
