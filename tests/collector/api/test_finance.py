"""Finance over HTTP and by command: bills in, reconciled and booked; months closed, corrected and stated; FOCUS out."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.testclient import TestClient

from spanledger_collector.api.bill_rows import BillRows
from spanledger_collector.api.commands import focus, forecast, invoice, month
from spanledger_collector.store.finance.months import Closing, write_closing
from spanledger_collector.store.registry.plan import Draft
from tests.collector.api.conftest import Ledger
from tests.collector.rows import call

pytestmark = pytest.mark.clickhouse

DAY = datetime(2026, 5, 4, tzinfo=UTC)
MAY = "2026-05"


def may(number: int, *, day: int = 0, cost: str = "0.0025", **more: Any) -> Any:
    start = int((DAY + timedelta(days=day, hours=12)).timestamp()) * 10**9 + number
    given: dict[str, Any] = {
        "start_time": start, "team": "support", "feature": "chat", "session_id": f"s{number % 2}", "input_tokens": 1000, "output_tokens": 0,
        "cost_input": Decimal(cost), "cost_total": Decimal(cost),
    }  # fmt: skip
    return call(number, **given | more)


def bill(*days: tuple[int, float, int]) -> bytes:
    """Costs of gpt-4o input: (day, USD, tokens)."""
    data = [
        {
            "object": "bucket", "start_time": int((DAY + timedelta(days=day)).timestamp()), "end_time": 0,
            "results": [{"amount": {"value": usd, "currency": "usd"}, "line_item": "gpt-4o, input", "quantity": tokens, "project_id": "proj_1"}],
        }
        for day, usd, tokens in days
    ]  # fmt: skip
    return json.dumps({"object": "page", "data": data, "has_more": False}).encode()


MAYS_BILL = bill((0, 0.0050006, 2000), (1, 0.0030004, 1000))


def send(client: TestClient, data: bytes, source: str = "openai") -> Any:
    return client.post(f"/api/finance/invoices?source={source}&file=may.json", content=data)


def test_a_bill_is_imported_compared_and_its_difference_booked(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    ledger.insert(may(1, cost="0.0025003"), may(2, cost="0.0025003"), may(3, day=1, cost="0.0025003"))

    sent = send(client, MAYS_BILL)

    assert (sent.status_code, sent.json()["lines"], sent.json()["amounts"]) == (201, 2, {"USD": "0.0080010"})
    assert send(client, MAYS_BILL).json()["import_id"] == sent.json()["import_id"]
    assert len(client.get("/api/finance/invoices").json()) == 1
    asked = f"/api/finance/reconciliation?source=openai&month={MAY}"
    told = client.get(asked).json()
    (finding,) = told["findings"]
    assert (finding["cause"], Decimal(finding["amount"]), finding["accepted"]) == (
        "price",
        Decimal("0.0005001"),
        False,
    )
    assert (Decimal(told["totals"]["theirs"]), Decimal(told["totals"]["ours"])) == (
        Decimal("0.008001"),
        Decimal("0.0075009"),
    )
    assert [cell["day"] for cell in told["cells"]] == ["2026-05-05"]

    found = told["findings"][0]["id"]
    booked = client.post(
        f"/api/finance/reconciliation/{found}/accept?source=openai&month={MAY}",
        json={"reason": "their rate holds"},
    )

    assert booked.json()["booked"] is True
    assert client.get(asked).json()["findings"][0]["accepted"] is True
    again = client.post(
        f"/api/finance/reconciliation/{found}/accept?source=openai&month={MAY}",
        json={"reason": "their rate holds"},
    )
    assert again.json()["booked"] is False
    (entry,) = client.get(f"/api/finance/adjustments?month={MAY}").json()
    assert (entry["kind"], entry["reason"], entry["provider"]) == (
        "reconciliation",
        "their rate holds",
        "openai",
    )
    statement = client.get(f"/api/finance/statements/{MAY}").json()
    assert Decimal(statement["cost"]) == Decimal("0.008001")


def test_a_bill_that_cannot_be_read_says_where(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")

    refused = send(client, b"usage_date_utc,cost_usd\n2026-05-04,x\n")

    assert refused.status_code == 422
    assert "line 2: cost_usd is no number" in refused.json()["detail"]
    assert send(client, bill((0, 1, 1)), source="nobody").status_code == 404
    assert client.get(f"/api/finance/reconciliation?source=openai&month={MAY}").status_code == 404
    assert client.get("/api/finance/reconciliation?source=openai&month=2026-13").status_code == 422
    assert send(ledger.client("read"), bill((0, 1, 1))).status_code == 403


def test_what_a_later_file_no_longer_tells_is_said(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    earlier = send(client, bill((0, 1, 1000), (1, 2, 2000), (4, 8, 1))).json()

    later = send(client, bill((0, 1.5, 1000), (2, 1, 1))).json()

    assert earlier["warnings"] == []
    (warning,) = later["warnings"]
    assert warning.startswith("1 lines (2.00 USD) of the same days stand in 'may.json' and not here")
    client.delete(f"/api/finance/invoices/{earlier['import_id']}")
    assert send(client, bill((0, 1.6, 1000), (2, 1, 1))).json()["warnings"] == []


def test_rows_of_bills_are_counted_by_what_became_of_them(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    head = b"BilledCost,ChargePeriodStart,ChargeCategory,BillingCurrency,ServiceName,SkuMeter\n"
    ai = b"1.5,2026-05-04T00:00:00Z,Usage,USD,Amazon Bedrock,Claude input tokens\n"
    disk = b"9,2026-05-04T00:00:00Z,Usage,USD,Disks,Storage\n" * 2
    assert send(client, head + ai + disk).status_code == 201
    gone = send(client, head + ai * 3).json()["import_id"]
    client.delete(f"/api/finance/invoices/{gone}")
    before = REGISTRY.get_sample_value("spanledger_finance_refused_files_total") or 0

    send(client, b"usage_date_utc,cost_usd\n2026-05-04,x\n")

    assert REGISTRY.get_sample_value("spanledger_finance_refused_files_total") == before + 1
    registry = CollectorRegistry()
    registry.register(BillRows(ledger.store.client))
    labels = {"project": ledger.project, "source": "openai"}
    for outcome, rows in (("taken", 1), ("another service", 2)):
        found = registry.get_sample_value("spanledger_finance_bill_rows", {**labels, "outcome": outcome})
        assert found == rows, outcome


def test_a_withdrawn_import_no_longer_counts(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    number = send(client, bill((0, 1, 1))).json()["import_id"]

    assert client.delete(f"/api/finance/invoices/{number}").json()["withdrawn"] is True
    assert client.get(f"/api/finance/reconciliation?source=openai&month={MAY}").status_code == 404
    assert client.delete("/api/finance/invoices/none").status_code == 404


def test_a_documented_source_maps_files_names_and_time_zone(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    document = {
        "provider": "openai", "columns": {"day": "Tag", "model": "Modell", "tokens": "Menge", "amount": "Betrag"},
        "models": {"GPT 4 omni": "gpt-4o"}, "time_zone": "Europe/Berlin", "decimal_comma": True,
    }  # fmt: skip
    draft = Draft(kind="invoice_source", name="reseller", document=document)
    ledger.registry.put(ledger.project, draft, author="test")
    ledger.insert(may(1, start_time=int(datetime(2026, 5, 4, 23, tzinfo=UTC).timestamp()) * 10**9))

    sent = send(client, b"Tag;Modell;Menge;Betrag\n2026-05-05;GPT 4 omni;1000;0,0025\n", source="reseller")

    assert sent.status_code == 201
    told = client.get(f"/api/finance/reconciliation?source=reseller&month={MAY}").json()
    assert (told["findings"], Decimal(told["totals"]["matched"])) == ([], Decimal("0.0025"))


def test_a_closed_month_keeps_its_figures_and_what_came_later_is_booked(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    ledger.insert(may(1), may(2))
    running = f"{datetime.now(UTC):%Y-%m}"

    assert client.post(f"/api/finance/months/{running}/close", json={}).status_code == 409
    closed = client.post(f"/api/finance/months/{MAY}/close", json={"note": "checked"})
    assert closed.status_code == 200, closed.text
    assert (closed.json()["state"], closed.json()["note"]) == ("closed", "checked")
    assert client.post(f"/api/finance/months/{MAY}/close", json={}).status_code == 409

    # The calls arrived today, after the cutoff (which is today's beginning): they count as late.
    before = client.get(f"/api/finance/statements/{MAY}").json()
    assert (before["state"], Decimal(before["cost"])) == ("closed", 0)
    late = client.post(
        f"/api/finance/months/{MAY}/reopen-as-adjustment", json={"reason": "spool of a laptop"}
    ).json()
    assert Decimal(late["cost"]) == Decimal("0.005")
    assert (
        client.post(f"/api/finance/months/{MAY}/reopen-as-adjustment", json={"reason": "again"}).json()[
            "booked"
        ]
        == 0
    )
    after = client.get(f"/api/finance/statements/{MAY}").json()
    assert Decimal(after["cost"]) == Decimal("0.005")
    assert after["differs"] == ""
    assert (
        client.post(
            "/api/finance/months/2026-04/reopen-as-adjustment", json={"reason": "not closed"}
        ).status_code
        == 409
    )


def test_figures_that_no_longer_tell_what_was_signed_are_pointed_at(ledger: Ledger) -> None:
    client = ledger.client("read")
    ledger.insert(may(1))
    signed = Closing(
        project=ledger.project, month=DAY.date().replace(day=1), cutoff=(datetime.now(UTC) + timedelta(days=1)).date(), author="ann",
        note="", totals=json.dumps({"cost": "0.004", "calls": 1, "unpriced": 0, "teams": {}}), time=datetime.now(UTC),
    )  # fmt: skip
    write_closing(ledger.store.client, signed)

    told = client.get(f"/api/finance/statements/{MAY}").json()

    assert told["signed_by"] == "ann"
    assert "signed were 0.004 USD" in told["differs"]


def test_a_statement_has_unit_costs_budgets_and_the_change_by_its_parts(ledger: Ledger) -> None:
    client = ledger.client("read", "admin")
    budget = {"amount": "0.01", "period": "month", "scope": {"team": "support"}}
    ledger.registry.put(ledger.project, Draft(kind="budget", name="support", document=budget), author="test")
    april = int(datetime(2026, 4, 4, 12, tzinfo=UTC).timestamp()) * 10**9
    ledger.insert(
        may(1), may(2), may(3, team="search"), may(4, start_time=april), may(5, team="=cmd", feature="x")
    )

    told = client.get(f"/api/finance/statements/{MAY}?team=support&score=resolved").json()

    assert Decimal(told["cost"]) == Decimal("0.005")
    assert [
        (unit["group"], unit["conversations"], Decimal(unit["per_conversation"])) for unit in told["features"]
    ] == [("chat", 2, Decimal("0.0025"))]
    assert [(entry["name"], Decimal(entry["left"])) for entry in told["budgets"]] == [
        ("support", Decimal("0.005"))
    ]
    change = {name: Decimal(value) for name, value in told["change"].items()}
    assert (change["before"], change["after"], change["volume"]) == (
        Decimal("0.0025"),
        Decimal("0.005"),
        Decimal("0.0025"),
    )
    assert change["after"] - change["before"] == sum(
        change[name] for name in ("volume", "price", "mix", "cache", "other")
    )
    rows = list(csv.DictReader(io.StringIO(client.get(f"/api/finance/statements/{MAY}?format=csv").text)))
    assert {row["team"] for row in rows} == {"support", "search", "'=cmd"}
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal("0.01")


def test_the_ledger_leaves_as_focus(ledger: Ledger) -> None:
    client = ledger.client("read")
    ledger.insert(may(1), may(2))

    answer = client.get("/api/finance/focus?from=2026-05-01&to=2026-06-01")
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert [(row["SkuMeter"], Decimal(row["BilledCost"]), row["SubAccountId"]) for row in rows] == [
        ("Input Tokens", Decimal("0.005"), ledger.project)
    ]
    parquet = client.get("/api/finance/focus?from=2026-05-01&to=2026-06-01&format=parquet&step=month")
    assert parquet.content[:4] == parquet.content[-4:] == b"PAR1"
    assert client.get("/api/finance/focus?from=2026-05-01&to=2026-05-01").status_code == 422


def test_forecasts_and_odd_days_are_told(ledger: Ledger) -> None:
    client = ledger.client("read")
    now = datetime.now(UTC)
    ledger.insert(
        *(may(back, start_time=int((now - timedelta(days=back)).timestamp()) * 10**9, cost_total=Decimal(50 if back == 1 else 2)) for back in range(40))
    )  # fmt: skip

    (told,) = client.get("/api/finance/forecast").json()
    (odd,) = client.get("/api/finance/anomalies?days=3").json()

    assert (told["subject"], told["method"]) == ("project", "days")
    assert told["low"] <= told["at_end"] <= told["high"]
    assert (odd["day"], Decimal(odd["cost"]), Decimal(odd["expected"])) == (
        str((now - timedelta(days=1)).date()),
        50,
        2,
    )


def test_the_commands_speak_to_the_api(
    served: str,
    operator: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", served)
    monkeypatch.setenv("SPANLEDGER_KEY", "sl_bootstrap_0123456789")
    path = tmp_path / "may.json"
    path.write_bytes(bill((0, 1.5, 1000)))

    assert invoice.command(["import", "openai", str(path)]) == 0
    assert invoice.command(["list"]) == 0
    assert invoice.command(["reconcile", "openai", MAY, "--most-unexplained", "50"]) == 0
    assert invoice.command(["reconcile", "nobody", MAY]) == 1
    assert month.command(["close", MAY, "--note", "fine"]) == 0
    assert month.command(["reopen-as-adjustment", MAY, "--reason", "none came"]) == 0
    assert month.command(["statement", MAY]) == 0
    assert month.command(["statement", MAY, "--csv"]) == 0
    assert month.command(["list"]) == 0
    assert focus.command(["export", MAY, "-o", str(tmp_path / "focus.csv")]) == 0
    assert forecast.command([]) == 0

    out, err = capfd.readouterr()
    assert "may.json: OpenAI costs, 1 lines, 2026-05-04 to 2026-05-04, 1.50 USD" in out
    assert "A day missing from our ledger: our ledger" in out
    assert "2026-05 is closed" in out
    assert "project,month,state,team" in out
    assert "next increment: --since" in err
    assert (tmp_path / "focus.csv").read_text().startswith("AvailabilityZone,BilledCost")


@pytest.mark.parametrize("day", [0, "0", 20000, "1900-01-01", "0101-02-06", "2150-01-01", "4 May 2026"])
def test_a_day_that_the_ledger_cannot_hold_is_refused(ledger: Ledger, day: object) -> None:
    client = ledger.client("read", "admin")
    draft = {"day": day, "cost": "1", "reason": "a test", "identity": "one"}

    assert client.post("/api/finance/adjustments", json=draft).status_code == 422
    assert client.get(f"/api/costs?known_before={day}").status_code == 422
    assert client.get(f"/api/finance/focus?from={day}&to=2026-05-02").status_code == 422
