"""What the Spend page reads, what it exports, the daily sums and the rows tell one amount."""

from __future__ import annotations

import csv
import io
import time
from decimal import Decimal

import pytest

from spanledger_collector.store.reads import spend
from spanledger_collector.store.reads.window import DAY, Window
from spanledger_collector.store.registry.plan import Draft

from .conftest import READERS, Dashboard, Open

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


@pytest.mark.browser
def test_spend_is_shown_and_exported_in_another_currency(dashboard: Dashboard, visit: Open) -> None:
    document = {"rates": [{"from": "2020-01-01", "per_usd": "0.5"}]}
    dashboard.registry.put(PROJECT, Draft(kind="currency", name="EUR", document=document), author="t")
    tab = visit(READERS[PROJECT])
    dollars = tab.open("/spend?range=7d").locator(".stat-value").first.get_attribute("title") or ""

    page = tab.open("/spend?range=7d")
    page.get_by_label("Currency").first.click()
    page.get_by_role("option", name="EUR").click()
    page.wait_for_url("**currency=EUR**")
    tab.drawn()

    euros = page.locator(".stat-value").first.get_attribute("title") or ""
    assert euros.startswith("EUR\u00a0")
    amounts = [Decimal(text.strip("$EUR\u00a0").replace(",", "")) for text in (dollars, euros)]
    assert amounts[1] == pytest.approx(amounts[0] / 2, abs=Decimal("1e-8"))
    link = page.get_by_role("link", name="Download CSV").get_attribute("href") or ""
    lines = list(csv.DictReader(io.StringIO(dashboard.get(link, dashboard.cookie(READERS[PROJECT])).body)))
    total = sum((Decimal(line["cost_eur"]) for line in lines), Decimal(0))
    assert total == pytest.approx(amounts[1], abs=Decimal("1e-8"))
