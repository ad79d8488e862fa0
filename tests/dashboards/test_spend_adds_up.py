"""What the Spend page reads, what it exports, the daily sums and the rows tell one amount."""

from __future__ import annotations

import csv
import io
import time
from decimal import Decimal

import pytest

from spanledger_collector.store.reads import spend
from spanledger_collector.store.reads.window import DAY, Window

from .conftest import READERS, Dashboard

pytestmark = pytest.mark.clickhouse

PROJECT = "other"


def test_rows_daily_sums_page_and_export_are_equal_to_the_last_digit(dashboard: Dashboard) -> None:
    end = (time.time_ns() // DAY + 1) * DAY
    week = Window(end - 7 * DAY, end)
    ask = f"FROM {{table}} WHERE project = '{PROJECT}' AND day >= today() - 6"
    rows, daily = (
        Decimal(
            dashboard.client.query(f"SELECT toString(sum(cost)) {ask.format(table=table)}").result_rows[0][0]
        )
        for table in ("ledger", "ledger_day")
    )
    page = {
        entry.group: entry.cost for entry in spend.spend(dashboard.client, PROJECT, week, ["team", "model"])
    }
    answer = dashboard.get(
        "/export/spend.csv?range=7d&by=team&then=model", dashboard.cookie(READERS[PROJECT])
    )
    assert answer.status == 200
    exported: dict[tuple[str, ...], Decimal] = {}
    for line in csv.DictReader(io.StringIO(answer.body)):
        key = (line["team"], line["model"])
        exported[key] = exported.get(key, Decimal(0)) + Decimal(line["cost_usd"])
    assert exported == page
    assert rows == daily == sum(page.values()) > 0
