"""What importers promise: each vendor's file becomes the same lines, and a bad file says where it is bad."""

from __future__ import annotations

import gzip
import importlib
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_collector.finance.bills import Bill, BillError, BillLine, Source, read_bill
from spanledger_collector.finance.bills import tables as limits

DAY = date(2026, 5, 4)
SECONDS = 1_777_852_800  # 2026-05-04T00:00Z


def lines(data: bytes | str | object, **source: Any) -> tuple[BillLine, ...]:
    return read(data, **source).lines


def read(data: bytes | str | object, **source: Any) -> Bill:
    raw = data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    return read_bill(raw, Source(**source))


def openai(*results: dict[str, Any], **page: Any) -> dict[str, Any]:
    bucket = {"object": "bucket", "start_time": SECONDS, "end_time": SECONDS + 86400, "results": [*results]}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None} | page


def anthropic(*results: dict[str, Any]) -> dict[str, Any]:
    bucket = {
        "starting_at": "2026-05-04T00:00:00Z",
        "ending_at": "2026-05-05T00:00:00Z",
        "results": [*results],
    }
    return {"data": [bucket], "has_more": False, "next_page": None}


def test_openai_costs_are_dollars_with_model_direction_and_tier_taken_from_the_line_item() -> None:
    found = lines(
        openai(
            {"amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-4o-2024-08-06, cached input", "project_id": "proj_a", "quantity": 48000},
            {"amount": {"value": 1.5, "currency": "usd"}, "line_item": "priority | gpt-5, output, long context"},
            {"amount": {"value": 0.5, "currency": "usd"}, "line_item": "gpt-audio-mini-2025-12-15 audio, input"},
            {"amount": {"value": 0.25, "currency": "usd"}, "line_item": "web search tool calls"},
            {"amount": {"value": -20, "currency": "usd"}, "line_item": "Credit grant"},
        )
    )  # fmt: skip

    assert [(line.model, line.token_type, line.tier, line.kind, line.amount) for line in found] == [
        ("gpt-4o-2024-08-06", "cache_read", "", "usage", Decimal("0.06")),
        ("gpt-5", "output", "priority", "usage", Decimal("1.5")),
        ("gpt-audio-mini-2025-12-15", "audio", "", "usage", Decimal("0.5")),
        ("", "", "", "service", Decimal("0.25")),
        ("", "", "", "credit", Decimal("-20")),
    ]
    assert (found[0].day, found[0].account, found[0].tokens, found[0].currency) == (
        DAY,
        "proj_a",
        48000,
        "USD",
    )


def test_openai_usage_has_cached_tokens_within_input_and_audio_where_the_report_says_so() -> None:
    older = {"input_tokens": 1000, "input_cached_tokens": 800, "output_tokens": 500, "input_audio_tokens": 30}
    newer = {
        "input_tokens": 1000, "input_text_tokens": 900, "input_cached_tokens": 300, "input_audio_tokens": 100,
        "input_cache_write_tokens": 50, "output_tokens": 70, "output_audio_tokens": 20,
    }  # fmt: skip
    named = {"model": "gpt-5", "batch": True, "api_key_id": "key_1", "num_model_requests": 3}

    def buckets(row: dict[str, Any]) -> dict[str, Decimal | None]:
        return {line.token_type: line.tokens for line in lines(openai(row | named))}

    assert buckets(older) == {"input": 200, "cache_read": 800, "output": 500, "audio": 30}
    assert buckets(newer) == {"input": 550, "cache_read": 300, "cache_write": 50, "output": 50, "audio": 120}
    assert {line.tier for line in lines(openai(older | named))} == {"batch"}


def test_the_dashboards_cost_export_skips_days_without_costs() -> None:
    header = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source"
    text = "\n".join(
        [
            header,
            "1777766400,1777852800,2026-05-03T00:00:00+00:00,2026-05-04T00:00:00+00:00,,,,,,,,,,,,,",
            f'{SECONDS},1777939200,2026-05-04T00:00:00,2026-05-05T00:00:00,0.00383598000000000000,usd,1200,tokens,"gpt-5-mini, input",,key_1,proj_a,org,,Org,,',
        ]
    )

    (line,) = lines(text)

    assert (line.line, line.day, line.model, line.tokens) == (3, DAY, "gpt-5-mini", 1200)
    assert line.amount == Decimal("0.00383598")


def test_anthropics_cost_report_is_in_cents() -> None:
    bill = read(
        anthropic(
            {"amount": "123.78912", "currency": "USD", "cost_type": "tokens", "model": "claude-opus-5", "token_type": "cache_creation.ephemeral_1h_input_tokens", "service_tier": "batch", "workspace_id": "wrkspc_1", "description": "Claude Opus 5 Usage"},
            {"amount": "50", "currency": "USD", "cost_type": "web_search", "model": None, "token_type": None, "description": "Web Search Usage"},
        )
    )  # fmt: skip

    first, second = bill.lines
    assert (first.amount, first.token_type, first.tier, first.account) == (
        Decimal("1.2378912"),
        "cache_write",
        "batch",
        "wrkspc_1",
    )
    assert (second.kind, second.amount) == ("service", Decimal("0.50"))
    assert bill.format == "Anthropic cost report"
    assert bill.decimals == 7


def test_anthropics_usage_report_counts_uncached_input_and_both_lifetimes_of_cache_writes() -> None:
    row = {
        "uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500, "model": "claude-haiku-4-5",
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500}, "service_tier": "priority",
        "api_key_id": "apikey_1", "workspace_id": None, "server_tool_use": {"web_search_requests": 10},
    }  # fmt: skip

    found = lines(anthropic(row))

    assert {line.token_type: line.tokens for line in found} == {
        "input": 1500, "cache_read": 200, "cache_write": 1500, "output": 500,
    }  # fmt: skip
    assert {(line.key, line.tier, line.amount) for line in found} == {("apikey_1", "priority", None)}


def test_the_consoles_exports_are_in_dollars() -> None:
    costs = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed\n2026-05-04,Claude Haiku 4.5,Default,key-a,message,≤ 200k,input_cache_read,0.13,0.13,token,global,\n"
    usage = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed\n2026-05-04,claude-haiku-4-5,key-a,Default,standard,≤ 200k,46981,15969,31,7,16932,0,global,\n"

    (cost,) = lines(costs)
    counted = lines(usage)

    assert (cost.amount, cost.token_type, cost.model, cost.tier) == (
        Decimal("0.13"), "cache_read", "Claude Haiku 4.5", "standard",
    )  # fmt: skip
    assert [(line.token_type, line.tokens) for line in counted] == [
        ("input", 46981), ("cache_write", 16000), ("cache_read", 7), ("output", 16932),
    ]  # fmt: skip


@pytest.mark.parametrize("spelling", ["BilledCost", "billed_cost"])
def test_a_clouds_focus_file_gives_its_ai_charges_and_counts_the_rest(spelling: str) -> None:
    def row(**more: str) -> dict[str, str]:
        return {
            spelling: "1.25", "BillingCurrency": "USD", "ChargeCategory": "Usage", "ChargePeriodStart": "2026-05-04T00:00:00Z",
            "ServiceCategory": "AI and Machine Learning", "ServiceName": "Azure OpenAI", "SubAccountId": "sub-1",
            "SkuMeter": "gpt 4.1 mini cached Inp glbl Tokens", "ConsumedQuantity": "12", "ConsumedUnit": "1K Tokens",
        } | more  # fmt: skip

    table = [
        row(),
        row(ServiceCategory="Compute", ServiceName="Virtual Machines", SkuMeter="D4", ConsumedUnit="Hours"),
        row(ChargeCategory="Tax", SkuMeter="", ConsumedQuantity="", ConsumedUnit=""),
    ]
    text = io.StringIO()
    text.write(",".join(table[0]) + "\n" + "\n".join(",".join(entry.values()) for entry in table))

    bill = read(text.getvalue())

    first, tax = bill.lines
    assert (first.model, first.token_type, first.tokens, first.amount) == (
        "gpt-4-1-mini".replace("4-1", "4.1"), "cache_read", 12000, Decimal("1.25"),
    )  # fmt: skip
    assert tax.kind == "tax"
    assert bill.left_out == {"another service": 1}


def test_a_focus_file_may_be_parquet_with_decimals_and_times() -> None:
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")

    columns: dict[str, list[Any]] = {
        "BilledCost": [Decimal("0.5")], "BillingCurrency": ["USD"], "ChargeCategory": ["Usage"],
        "ChargePeriodStart": [None], "ServiceName": ["Amazon Bedrock"], "x_UsageType": ["USE1-Claude4.5Sonnet-output-tokens"],
        "ConsumedQuantity": [Decimal("2000")], "ConsumedUnit": ["Tokens"],
    }  # fmt: skip
    columns["ChargePeriodStart"] = [datetime(2026, 5, 4, 23, tzinfo=UTC)]
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)

    (line,) = lines(sink.getvalue())

    assert (line.day, line.token_type, line.tokens) == (DAY, "output", 2000)
    assert line.model == "claude4.5sonnet"


def test_any_other_csv_is_read_by_a_mapping() -> None:
    text = "Datum;Modell;Eingabe;Ausgabe;Betrag\n2026-05-04;mistral-large;1.200;300;12,50\n"
    columns = {
        "day": "Datum",
        "model": "Modell",
        "input_tokens": "Eingabe",
        "output_tokens": "Ausgabe",
        "amount": "Betrag",
    }

    found = lines(text, columns=columns, decimal_comma=True, currency="EUR")

    assert [(line.token_type, line.tokens, line.amount) for line in found] == [
        ("input", 1200, None), ("output", 300, None), ("", None, Decimal("12.50")),
    ]  # fmt: skip
    assert {line.currency for line in found} == {"EUR"}
    (cents,) = lines("d,c\n2026-05-04,150\n", columns={"day": "d", "amount": "c"}, amounts_in="cents")
    assert cents.amount == Decimal("1.50")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "empty"),
        ("{", "no JSON"),
        ('{"data": 3}', "no list `data`"),
        ('{"data": [{"start_time": 1, "results": 5}]}', "no list `results`"),
        ('{"data": [{"start_time": 1777852800, "results": [{"amount": {"value": NaN}}]}]}', "NaN"),
        ('{"data": [{"start_time": "tomorrow", "results": [{"amount": {"value": 1}}]}]}', "line 1: start_time"),
        ("usage_date_utc,cost_usd,model\n2026-05-04,abc,m\n", "line 2: cost_usd is no number"),
        ("usage_date_utc,cost_usd,model\n2026-05-04,1\n", "line 2: has 2 cells, the header 3"),
        ("usage_date_utc,cost_usd,cost_usd\n", "stands there twice"),
        ("a,b\n1,2\n", "name its columns"),
        ("usage_date_utc,cost_usd\n2026-13-04,1\n", "line 2: the day is no day"),
        ("usage_date_utc,usage_output_tokens\n2026-05-04,-5\n", "line 2: usage_output_tokens is negative"),
        ("usage_date_utc,cost_usd\n2026-05-04,1e400\n", "line 2: cost_usd is out of range"),
        (b"usage_date_utc,cost_usd\n\xff\xfe\xfa,1\n", "line 2: is not UTF-8"),
        (b"PAR1 and nothing else", "Parquet file is broken"),
        (b"\x1f\x8b broken", "gzip archive is broken"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_bad_file_says_what_and_where(data: str | bytes, says: str) -> None:
    with pytest.raises(BillError, match=says):
        read(data)


def test_files_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "usage_date_utc,cost_usd\n" + "2026-05-04,1\n" * 50
    assert len(lines(gzip.compress(text.encode()))) == 50

    with pytest.raises(BillError, match="more than 10 rows"):
        limits.csv_table(text, limit=10)
    with pytest.raises(BillError, match="more than 0 MiB"):
        limits.inflated(gzip.compress(text.encode() * 100), limit=1000)


def test_a_file_that_has_further_pages_says_so() -> None:
    page = openai({"amount": {"value": 1, "currency": "usd"}, "line_item": "gpt-5, input"}, has_more=True)

    assert "further pages" in read(page).warnings[0]
    assert len(lines([page, page])) == 2
    assert len(lines("\n".join([json.dumps(page)] * 3))) == 3


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_bytes_come_it_is_lines_or_a_clear_refusal(data: bytes) -> None:
    found: int | str
    try:
        found = len(read_bill(data, Source(columns={"day": "d", "amount": "a"})).lines)
    except BillError as refused:
        found = str(refused)
    assert found


def test_a_mapping_that_names_what_is_not_there_is_refused() -> None:
    with pytest.raises(BillError, match="no column 'Betrag'"):
        read("Datum,Summe\n2026-05-04,1\n", columns={"day": "Datum", "amount": "Betrag"})
    with pytest.raises(BillError, match="the mapping names 'colour'"):
        read("Datum,Summe\n2026-05-04,1\n", columns={"day": "Datum", "colour": "Summe"})
