"""The FOCUS export holds all spend, to the last digit, in rows that the specification's own validator accepts."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spanledger_collector.books.focus import Export, focus_rows
from spanledger_collector.finance.focus import COLUMNS, as_csv, as_parquet
from spanledger_collector.finance.focus.rows import Row
from spanledger_collector.store.finance.adjustments import Adjustment, book
from spanledger_collector.store.finance.months import Closing, write_closing
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.window import DAY, Window
from tests.collector.books.validator import Validator, focus_validator
from tests.collector.rows import call, insert
from tests.stores import Store

pytestmark = pytest.mark.clickhouse
focus_validator = focus_validator

MAY = date(2026, 5, 1)
FOURTH = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOW = datetime.now(UTC)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def may(number: int, **more: Any) -> Any:
    given: dict[str, Any] = {
        "start_time": ns(FOURTH) + number * 10**9, "organisation": "acme", "team": "support", "input_tokens": 1003,
        "cache_read_tokens": 207, "cache_write_tokens": 11, "output_tokens": 301, "reasoning_tokens": 77,
        "cost_input": Decimal("0.002507501"), "cost_cache_read": Decimal("0.000258750"), "cost_cache_write": Decimal("0.000034375"),
        "cost_output": Decimal("0.003010000"), "cost_reasoning": Decimal("0.000770000"), "cost_total": Decimal("0.006580626"),
    }  # fmt: skip
    return call(number, **given | more)


def gpu(client: Any, line: str, cost: str, *, category: str = "gpu", engine_ns: int = 0) -> None:
    row: dict[str, Any] = {
        "project": "p", "pool_project": "p", "interval_start": FOURTH, "interval_s": 300, "revision": 1, "sign": 1,
        "time": FOURTH, "known_at": NOW, "line": line, "basis": "engine_time", "home": line == "call",
        "trace_id": (91).to_bytes(16, "big"), "span_id": (91).to_bytes(8, "big"), "category": category, "gpu_pool": "h100",
        "model": "llama-3", "team": "support" if line == "call" else "", "engine_ns": engine_ns, "cost": Decimal(cost),
        "list_cost": Decimal("0.5") if line == "call" else None,
    }  # fmt: skip
    client.insert("gpu_costs", [list(row.values())], column_names=list(row))


def reprice(client: Any, number: int) -> None:
    row: dict[str, Any] = {
        "repricing_id": "run-1", "project": "p", "trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big"),
        "start_time": ns(FOURTH) + number * 10**9, "time": NOW, "category": "api", "organisation": "acme", "team": "support",
        "model": "gpt-4o", "provider": "openai", "old_cost": Decimal("0.006580626"), "new_cost": Decimal("0.003290313"),
        "cost_input": Decimal("0.001253750"), "cost_cache_read": Decimal("0.000129375"), "cost_cache_write": Decimal("0.000017188"),
        "cost_output": Decimal("0.001505000"), "cost_reasoning": Decimal("0.000385000"),
    }  # fmt: skip
    client.insert("repricings", [list(row.values())], column_names=list(row))


def fill(store: Store) -> None:
    """A day of every kind of spend."""
    insert(
        store.client,
        may(1),
        may(2, team='=HYPERLINK("x")', feature="search"),
        may(3, purpose="eval", team="ml", service_tier="batch", region="eu-west-1"),
        may(4, operation="embeddings", cost_total=Decimal("0.001"), cost_input=None, cost_cache_read=None, cost_cache_write=None, cost_output=None, cost_reasoning=None),
        may(5, cost_total=None, cost_input=None, cost_cache_read=None, cost_cache_write=None, cost_output=None, cost_reasoning=None, request_model="own"),
        may(6, cache="exact", cost_total=Decimal(0), cost_saved=Decimal("0.0065"), cost_input=None, cost_cache_read=None, cost_cache_write=None, cost_output=None, cost_reasoning=None),
        may(91, gpu_pool="h100", provider="vllm", request_model="llama-3"),
        may(8, input_tokens=None, cache_read_tokens=None, cache_write_tokens=None, output_tokens=None, reasoning_tokens=None, input_audio_tokens=12, cost_total=Decimal("0.02"), cost_other=Decimal("0.02"), cost_input=None, cost_cache_read=None, cost_cache_write=None, cost_output=None, cost_reasoning=None),
    )  # fmt: skip
    gpu(store.client, "call", "0.31", engine_ns=12_500_000_000)
    gpu(store.client, "idle", "4.2")
    reprice(store.client, 1)
    book(
        store.client,
        [
            Adjustment(project="p", day=FOURTH.date(), kind="manual", cost=Decimal("-1.5"), reason="refund", author="ann", identity="1", group={"team": "support"}),
        ],
    )  # fmt: skip


def rows(store: Store, **more: Any) -> list[Row]:
    given: dict[str, Any] = {"first": MAY, "after": date(2026, 6, 1)}
    return list(focus_rows(store.client, "p", Export(**given | more)))


def billed(found: Sequence[Row], **which: Any) -> Decimal:
    return sum(
        (row["BilledCost"] for row in found if all(row[name] == value for name, value in which.items())),
        Decimal(0),
    )


def spent(store: Store) -> Decimal:
    window = Window(ns(datetime(2026, 5, 1, tzinfo=UTC)), ns(datetime(2026, 6, 1, tzinfo=UTC)))
    assert window.length % DAY == 0
    return ledger.sums(store.client, "p", window)[0].cost


@pytest.mark.parametrize("step", ["day", "month"])
def test_the_export_adds_up_to_the_ledger_exactly(store: Store, step: str) -> None:
    fill(store)

    found = rows(store, step=step)

    assert billed(found) == spent(store) == Decimal("3.047451565")
    assert {row["x_Category"] for row in found} == {"api", "evaluation", "embedding", "gpu", "adjustment"}
    assert {row["ChargePeriodEnd"] for row in found} == {
        "2026-05-05T00:00:00Z" if step == "day" else "2026-06-01T00:00:00Z"
    }
    assert sum(row["x_CostSaved"] for row in found) == Decimal("0.0065")
    assert sum(row["x_Calls"] for row in found) == 7  # the eighth is told by its GPU time


def test_each_token_type_is_a_meter_with_its_unit_price(store: Store) -> None:
    fill(store)

    meters = {row["SkuMeter"]: row for row in rows(store) if row["x_Team"] == "ml"}

    assert set(meters) == {
        "Input Tokens", "Cached Input Tokens", "Cache Write Tokens", "Output Tokens", "Reasoning Tokens",
    }  # fmt: skip
    said = meters["Output Tokens"]
    assert (said["PricingQuantity"], said["BilledCost"], said["SkuPriceId"]) == (
        301,
        Decimal("0.00301"),
        "openai/gpt-4o/output/batch",
    )
    assert said["ContractedUnitPrice"] * said["PricingQuantity"] == pytest.approx(
        Decimal("0.00301"), abs=Decimal("1e-18")
    )
    assert said["RegionId"] == "eu-west-1"


def test_an_unknown_price_is_counted_and_said(store: Store) -> None:
    fill(store)

    (unknown,) = [row for row in rows(store) if row["x_Model"] == "own"]

    assert (unknown["BilledCost"], unknown["x_UnpricedCalls"]) == (0, 1)
    assert "without a known price" in unknown["ChargeDescription"]


def test_a_correction_of_a_closed_month_is_a_row_of_the_month_it_was_booked_in(store: Store) -> None:
    fill(store)
    before = billed(rows(store))
    tomorrow = NOW.date() + timedelta(days=1)
    write_closing(
        store.client,
        Closing(project="p", month=MAY, cutoff=tomorrow, author="ann", note="", totals="{}", time=NOW),
    )
    late = Adjustment(
        project="p", day=date(2026, 5, 20), kind="late_calls", cost=Decimal("0.7"), reason="late", author="ann", identity="2",
        known_at=datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=UTC),
    )  # fmt: skip
    book(store.client, [late])

    assert billed(rows(store)) == before
    month = tomorrow.replace(day=1)
    (row,) = rows(store, first=month, after=(month + timedelta(days=32)).replace(day=1))
    assert (row["ChargeClass"], row["ChargeCategory"], row["BilledCost"]) == (
        "Correction",
        "Adjustment",
        Decimal("0.7"),
    )
    assert (row["ChargePeriodStart"], row["BillingPeriodStart"]) == (
        "2026-05-20T00:00:00Z",
        f"{month}T00:00:00Z",
    )
    assert row["PricingQuantity"] is None


def test_an_increment_tells_changed_days_whole_and_no_other(store: Store) -> None:
    insert(store.client, may(1), may(2, start_time=ns(FOURTH) + DAY))

    assert rows(store, since=NOW.date() + timedelta(days=1)) == []
    assert billed(rows(store, since=NOW.date())) == billed(rows(store))


def test_files_keep_decimals_and_neutralise_what_a_spreadsheet_would_run(store: Store) -> None:
    fill(store)
    found = rows(store)

    text = b"".join(as_csv(found)).decode()
    read = list(csv.DictReader(io.StringIO(text)))
    pq: Any = importlib.import_module("pyarrow.parquet")
    table: Any = pq.read_table(io.BytesIO(b"".join(as_parquet(found))))

    assert list(read[0]) == list(COLUMNS) == table.column_names
    assert sum(Decimal(row["BilledCost"]) for row in read) == billed(found)
    assert sum(table.column("BilledCost").to_pylist()) == billed(found)
    assert not [cell for row in read for cell in row.values() if cell.startswith(("=", "@", "+"))]
    assert {'\'=HYPERLINK("x")'} <= {row["x_Team"] for row in read}


def test_the_official_validator_accepts_both_kinds_of_file(
    store: Store, focus_validator: Validator, tmp_path: Path
) -> None:
    fill(store)
    late = Adjustment(
        project="p", day=date(2026, 5, 20), kind="late_calls", cost=Decimal("0.7"), reason="late", author="ann", identity="2"
    )  # fmt: skip
    book(store.client, [late])
    write_closing(
        store.client,
        Closing(project="p", month=MAY, cutoff=NOW.date(), author="ann", note="", totals="{}", time=NOW),
    )
    month = NOW.date().replace(day=1)
    found = rows(store, after=(month + timedelta(days=32)).replace(day=1), step="month")
    assert "Correction" in {row["ChargeClass"] for row in found}

    for kind, written in (("csv", as_csv(found)), ("parquet", as_parquet(found))):
        path = tmp_path / f"focus.{kind}"
        path.write_bytes(b"".join(written))
        told = focus_validator(path)
        assert told.failed == [], told.output[-3000:]
        assert told.passed >= 300
