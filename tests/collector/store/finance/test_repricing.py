"""A corrected price reprices history: new figures hold everywhere, old ones stay, closed months get an adjustment."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanledger.prices import PriceTable
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance.disagreements import disagreements
from spanledger_collector.store.finance.reprice_job import Outcome, Wanted, reprice
from spanledger_collector.store.reads import calls, ledger, overview, spend, traces
from spanledger_collector.store.reads.ledger import Ask
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

MIDNIGHT = NOON // DAY * DAY
TODAY = Window(MIDNIGHT, MIDNIGHT + DAY)
CONTRACT: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-4o",
    "input": "1",
    "output": "2",
    "name": "deal",
    "version": 2,
}


def run(store: Store, table: PriceTable, run: str = "run-1", **more: Any) -> Outcome:
    wanted = Wanted(run=run, project="p", window=TODAY, author="ana", note="the contract was late", **more)
    return reprice(store.client, wanted, table, lambda: time.time_ns() // 10**6)


def everywhere(client: Client) -> set[Decimal]:
    """The day's cost by each way to ask for it."""
    odd = Window(TODAY.start, TODAY.start + 23 * HOUR)
    return {
        ledger.sums(client, "p", TODAY)[0].cost,
        ledger.sums(client, "p", odd)[0].cost,
        sum((entry.cost for entry in spend.spend(client, "p", TODAY, ["team", "model"])), Decimal(0)),
        overview.totals(client, "p", TODAY).cost,
        *(
            Decimal(client.query(f"SELECT toString(sum(cost)) FROM {table}").result_rows[0][0])  # noqa: S608
            for table in ("cost_day", "cost_hour", "ledger_day", "ledger")
        ),
    }


def test_a_contract_price_reprices_the_past_once_and_keeps_who_when_and_why(store: Store) -> None:
    insert(
        store.client,
        call(1, team="a"),
        call(2, team="b", cost_total=None),
        call(
            3,
            team="b",
            provider="anthropic",
            request_model="claude-haiku-4-5",
            cost_total=Decimal("0.000035"),
        ),
        call(4, team="b", cache="exact", cost_total=Decimal(0), cost_saved=Decimal("0.5")),
        call(5, gpu_pool="h100"),
    )
    table = PriceTable([CONTRACT])
    done = run(store, table)
    assert (done.calls, done.changed) == (4, 3)
    new = Decimal("0.000020")
    assert everywhere(store.client) - {Decimal("0.001075")} == {2 * new + Decimal("0.000035")}, (
        "the older rollups count the GPU call's own price, the ledger its share"
    )
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert (whole.unpriced, whole.saved) == (1, new)
    rows = store.client.query(
        "SELECT toString(old_cost), toString(new_cost), author, note, price_version, old_price_source FROM repricings ORDER BY start_time"
    ).result_rows
    assert rows[0] == ("0.001", "0.00002", "ana", "the contract was late", "deal@2", "")
    assert run(store, table, run="run-2").changed == 0, "what is right already is left alone"


def test_the_old_figure_is_readable_as_known_before(store: Store) -> None:
    insert(store.client, call(1))
    run(store, PriceTable([CONTRACT]))
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    sums = [ledger.sums(store.client, "p", TODAY, which=Ask(known_before=day)) for day in (tomorrow,)]
    assert sums[0][0].cost == Decimal("0.00002")
    row = store.client.query("SELECT old_cost, cost_input, cost_output FROM repricings").result_rows[0]
    assert row == (Decimal("0.001"), Decimal("0.00001"), Decimal("0.00001"))


def test_a_filter_and_a_dry_run_touch_nothing_else(store: Store) -> None:
    insert(store.client, call(1), call(2, request_model="gpt-5"))
    wanted = Wanted(run="dry", project="p", window=TODAY)
    looked = reprice(store.client, wanted, PriceTable([CONTRACT]), lambda: 0, dry_run=True)
    assert looked.changed == 2
    assert store.client.command("SELECT count() FROM repricings") == 0
    assert run(store, PriceTable([CONTRACT]), model="gpt-5").calls == 1


def test_a_price_that_was_taken_back_makes_the_cost_unknown(store: Store) -> None:
    insert(store.client, call(1, provider="vllm", request_model="ours", price_source="override"))
    run(store, PriceTable())
    (whole,) = ledger.sums(store.client, "p", TODAY)
    assert (whole.cost, whole.unpriced) == (0, 1)


def test_a_closed_month_gets_an_adjustment_once_and_no_other_change(store: Store) -> None:
    client = store.client
    insert(client, call(1, team="a"), call(2, team="b"))
    today = datetime.now(UTC).date()
    month = datetime.fromtimestamp(MIDNIGHT // 10**9, UTC).date().replace(day=1)
    # Closed as of tomorrow's cutoff would still count today's knowledge; the calls' own insertion is made older.
    client.command(
        "ALTER TABLE spans UPDATE inserted_at = inserted_at - INTERVAL 2 DAY WHERE 1",
        settings={"mutations_sync": 2},
    )
    client.command("ALTER TABLE ledger_day DELETE WHERE 1", settings={"mutations_sync": 2})
    client.insert(
        "months", [["p", month, "closed", today, "ana", datetime.now(UTC)]],
        column_names=["project", "month", "state", "cutoff", "author", "time"],
    )  # fmt: skip
    odd = Window(TODAY.start, TODAY.start + 23 * HOUR)
    to_end = Window(TODAY.start, MIDNIGHT + 40 * DAY + HOUR)
    assert ledger.sums(client, "p", odd)[0].cost == Decimal("0.002")
    done = run(store, PriceTable([CONTRACT]))
    assert done.closed_months == [f"{month:%Y-%m}"]
    assert done.booked == 2 * (Decimal("0.00002") - Decimal("0.001"))
    assert ledger.sums(client, "p", odd)[0].cost == Decimal("0.002"), (
        "the calls of the closed month are as they were"
    )
    whole = {entry.group[0]: entry.cost for entry in ledger.sums(client, "p", to_end, ["source"])}
    assert whole == {"span": Decimal("0.002"), "adjustment": done.booked}
    teams = ledger.sums(client, "p", to_end, ["team"], which=Ask(only={"source": "adjustment"}))
    assert {entry.group[0] for entry in teams} == {"a", "b"}
    assert run(store, PriceTable([CONTRACT])).booked == 0


def test_disagreements_with_what_providers_reported_are_named(store: Store) -> None:
    insert(
        store.client,
        call(1, cost_total=Decimal("0.001"), cost_reported=Decimal("0.0015")),
        call(2, request_model="gpt-5", cost_total=Decimal("0.001"), cost_reported=Decimal("0.001")),
    )
    found = disagreements(store.client, "p", TODAY, PriceTable())
    reported = [one for one in found if one.source == "reported"]
    assert [(one.model, one.ours, one.theirs, one.calls) for one in reported] == [
        ("gpt-4o", Decimal("0.001"), Decimal("0.0015"), 1)
    ]


def test_lists_and_records_of_calls_show_the_newest_figure_and_the_record_its_story(store: Store) -> None:
    insert(store.client, call(1), call(2, request_model="gpt-5", cost_total=Decimal("0.5")))
    run(store, PriceTable([CONTRACT]), model="gpt-4o")
    listed = {
        row["model"]: row["cost_total"] for row in calls.calls(store.client, "p", TODAY, calls.CallFilter())
    }
    assert listed == {"gpt-4o": Decimal("0.00002"), "gpt-5": Decimal("0.5")}
    record = traces.span(store.client, "p", f"{1:032x}", f"{1:016x}")
    assert record is not None
    assert (record["cost_total"], record["cost_input"], record["price_version"]) == (
        Decimal("0.00002"), Decimal("0.00001"), "deal@2",
    )  # fmt: skip
    (step,) = record["repricings"]
    assert (step["old_cost"], step["new_cost"], step["author"], step["note"]) == (
        "0.001000000", "0.000020000", "ana", "the contract was late",
    )  # fmt: skip
    (line,) = [row for row in traces.trace(store.client, "p", f"{1:032X}") if row["billable"]]
    assert line["cost_total"] == Decimal("0.00002")


def test_a_call_of_a_pool_shows_its_share_beside_a_vendors_price(store: Store) -> None:
    insert(store.client, call(1, gpu_pool="h100", cost_total=None))
    row: dict[str, Any] = {
        "project": "p", "pool_project": "p", "interval_start": datetime.fromtimestamp(NOON // 10**9, UTC), "interval_s": 300,
        "revision": 1, "sign": 1, "time": datetime.fromtimestamp(NOON // 10**9 + 1, UTC), "known_at": datetime.now(UTC), "line": "call",
        "basis": "engine_time", "home": True, "trace_id": (1).to_bytes(16, "big"), "span_id": (1).to_bytes(8, "big"),
        "category": "gpu", "gpu_pool": "h100", "engine_ns": 5, "cost": Decimal("0.25"), "list_cost": Decimal("0.5"),
    }  # fmt: skip
    store.client.insert("gpu_costs", [list(row.values())], column_names=list(row))
    record = traces.span(store.client, "p", f"{1:032x}", f"{1:016x}")
    assert record is not None
    assert (record["cost_total"], record["list_cost"], record["cost_basis"]) == (
        Decimal("0.25"),
        Decimal("0.5"),
        "engine_time",
    )
