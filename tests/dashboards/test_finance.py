"""A finance analyst's pages: a bill is sent, compared and booked; a month is stated, and only signed when it may be."""

from __future__ import annotations

import csv
import io
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from spanledger_collector.books import closing
from tests.collector.rows import call, insert
from tests.dashboards.conftest import ADMIN, READERS, Dashboard, Open

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]

MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=40)).replace(
    day=4, hour=12, minute=0, second=0, microsecond=0
)
NAME = f"{MONTH:%Y-%m}"


@pytest.fixture(scope="module", autouse=True)
def _spent(dashboard: Dashboard) -> None:
    """Two calls of a month before, in the project whose pages these are."""
    rows = [
        call(
            number, "default", trace_id=uuid.uuid4().bytes, start_time=int(MONTH.timestamp()) * 10**9 + number, team=team, feature="chat",
            input_tokens=1000, output_tokens=0, cost_input=Decimal("2.5003"), cost_total=Decimal("2.5003"), request_model="gpt-4o",
        )
        for number, team in ((1, "support"), (2, '=HYPERLINK("x")'))
    ]  # fmt: skip
    insert(dashboard.client, *rows)


def bill(path: Path) -> Path:
    day = int(MONTH.replace(hour=0).timestamp())
    result = {
        "amount": {"value": 6.0007, "currency": "usd"},
        "line_item": "gpt-4o, input",
        "quantity": 2000,
        "project_id": "proj_1",
    }
    path.write_text(json.dumps({"data": [{"start_time": day, "results": [result]}], "has_more": False}))
    return path


def test_a_bill_is_sent_from_the_page_and_its_difference_booked(
    visit: Open, dashboard: Dashboard, tmp_path: Path
) -> None:
    tab = visit(ADMIN, check=True)
    page = tab.open(f"/reconciliation?source=openai&month={NAME}")
    expect(page.locator(".empty").first).to_contain_text("No bill of openai")

    page.locator("input[type=file]").set_input_files(bill(tmp_path / "costs.json"))
    expect(page.locator(".notice.green")).to_contain_text("OpenAI costs: 1 lines")
    page.reload()
    tab.drawn()

    row = page.locator("table", has=page.get_by_text("What to do")).locator("tbody tr").first
    expect(row).to_contain_text("Another price")
    expect(row).to_contain_text("1.00")
    axe: Any = Axe()  # has no types
    found: list[dict[str, Any]] = axe.run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    row.get_by_role("button", name="Accept as adjustment").click()
    expect(row.locator(".notice.red")).to_contain_text("Say why")
    row.get_by_label("Why").fill("the contract says so")
    row.get_by_role("button", name="Accept as adjustment").click()
    expect(row.locator(".notice.green")).to_contain_text("Booked")
    page.reload()
    tab.drawn()
    expect(page.locator("table", has=page.get_by_text("What to do")).locator(".badge.green")).to_have_text(
        "accepted"
    )

    page = tab.open(f"/statements?month={NAME}")
    expect(page.locator("table[class=table]", has=page.get_by_text("the contract says so"))).to_be_visible()


def test_a_reader_sends_nothing(visit: Open, dashboard: Dashboard, tmp_path: Path) -> None:
    page = visit().open(f"/reconciliation?source=anthropic&month={NAME}")

    expect(page.locator("input[type=file]")).to_have_count(0)
    expect(page.get_by_text("Editors and admins import files here")).to_be_visible()
    page = visit(ADMIN).open(f"/reconciliation?source=anthropic&month={NAME}")
    with page.expect_request(lambda asked: "upload" in (asked.post_data or "")) as sent:
        page.locator("input[type=file]").set_input_files(bill(tmp_path / "costs.json"))
    body, path = sent.value.post_data or "", urlsplit(sent.value.url).path
    expect(page.locator(".notice.green")).to_be_visible()
    for reader in (READERS["default"], READERS["other"]):
        answer = dashboard.get(
            path, dashboard.cookie(reader), "POST", {"content-type": "application/json"}, body
        )
        assert "may not import" in answer.body
    rows = dashboard.client.query(
        "SELECT DISTINCT author FROM invoice_imports WHERE source = 'anthropic'"
    ).result_rows
    assert rows == [("key admin",)]


def test_a_statement_is_printed_taken_as_csv_and_adds_up(visit: Open, dashboard: Dashboard) -> None:
    tab = visit(ADMIN)
    page = tab.open(f"/statements?month={NAME}&team=support")
    expect(page.locator(".stat-value").first).to_have_text("$2.50")
    expect(page.locator("table", has=page.get_by_text("A conversation"))).to_have_count(2)
    page.emulate_media(media="print")
    expect(page.locator(".menu")).to_be_hidden()
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()

    answer = dashboard.get(f"/export/statement.csv?month={NAME}", dashboard.cookie(READERS["default"]))
    rows = list(csv.DictReader(io.StringIO(answer.body)))
    told = closing.statement(dashboard.client, "default", MONTH.date())
    assert sum(Decimal(row["cost_usd"]) for row in rows) == told.cost
    assert '\'=HYPERLINK("x")' in {row["team"] for row in rows}
    cells = dashboard.get(
        f"/export/reconciliation.csv?source=openai&month={NAME}", dashboard.cookie(READERS["default"])
    )
    assert cells.body.startswith("day,account,model")
    assert (
        dashboard.get("/export/statement.csv?month=never", dashboard.cookie(READERS["default"])).status == 400
    )


def test_the_running_month_cannot_be_signed(visit: Open) -> None:
    tab = visit(ADMIN)
    page = tab.open(f"/statements?month={time.strftime('%Y-%m', time.gmtime())}")
    page.get_by_role("button", name="Close the month").click()
    expect(page.locator(".notice.red")).to_contain_text("can be closed from")
