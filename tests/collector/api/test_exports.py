"""An export holds every row once, in three formats, and runs nothing in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any, cast

import pyarrow.parquet as parquet
import pytest

from spanledger_collector.api.formats import MEDIA_TYPES, encoded
from spanledger_collector.store.client import connect_reader
from spanledger_collector.store.reads import export
from spanledger_collector.store.reads.calls import CallFilter
from spanledger_collector.store.reads.scores import ScoreFilter
from spanledger_collector.store.reads.window import Window
from tests.collector.rows import NOON, call, score

from .conftest import Ledger
from .test_calls import WINDOW

pytestmark = pytest.mark.clickhouse

ROWS = [
    call(
        n,
        start_time=NOON + n // 4,
        output="=HYPERLINK(1)" if n == 3 else f'say "{n}",\nand more',
        attributes={"k": "v"},
        cost_total=Decimal("0.000000001") if n else None,
        tags=["a", "b"],
    )
    for n in range(25)
]


def read_back(body: bytes, kind: str) -> list[dict[str, Any]]:
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    if kind == "jsonl":
        return [json.loads(line) for line in body.decode().splitlines()]
    return cast(Any, parquet).read_table(io.BytesIO(body)).to_pylist()


@pytest.mark.parametrize("kind", list(MEDIA_TYPES))
@pytest.mark.parametrize("page", [3, 25, 1000])
def test_every_row_is_there_once_whatever_the_pages(ledger: Ledger, kind: Any, page: int) -> None:
    ledger.insert(*ROWS, call(99, project="other"))
    client = connect_reader(ledger.store.settings)
    window = Window(NOON - 10**9, NOON + 10**12)
    tables = export.export_calls(client, ledger.project, window, CallFilter(), page=page)
    rows = read_back(b"".join(encoded(tables, kind)), kind)
    client.close()
    assert [int(row["span_id"], 16) for row in rows] == list(range(25))
    assert {row["trace_id"] for row in rows} == {f"{n:032x}" for n in range(25)}
    assert [row["cost_total"] in (None, "") for row in rows] == [True] + [False] * 24
    assert {Decimal(row["cost_total"]) for row in rows[1:]} == {Decimal("0.000000001")}
    assert rows[4]["output"] == 'say "4",\nand more'


def test_scores_are_exported_page_by_page(ledger: Ledger) -> None:
    ledger.insert(*(score(n, name=f"s{n % 3}", time=NOON + n // 5) for n in range(30)))
    window = Window(NOON - 10**9, NOON + 10**12)
    tables = export.export_scores(ledger.store.client, ledger.project, window, ScoreFilter(), page=4)
    rows = read_back(b"".join(encoded(tables, "jsonl")), "jsonl")
    assert {row["score_id"] for row in rows} == {f"score-{n}" for n in range(30)}
    assert len(rows) == 30


def test_the_three_formats_come_over_http_with_filters(ledger: Ledger) -> None:
    ledger.insert(*ROWS)
    reader = ledger.client("read")
    for kind, media in MEDIA_TYPES.items():
        answer = reader.get("/api/export/calls", params={**WINDOW, "format": kind, "text": "HYPERLINK"})
        assert answer.headers["content-type"] == media
        (row,) = read_back(answer.content, kind)
        assert row["output"] == ("'=HYPERLINK(1)" if kind == "csv" else "=HYPERLINK(1)")
    lean = reader.get("/api/export/calls", params={**WINDOW, "format": "jsonl", "content": False})
    assert "output" not in json.loads(lean.text.splitlines()[0])
    csv_rows = read_back(reader.get("/api/export/calls", params=WINDOW).content, "csv")
    assert csv_rows[0]["start_time"] == "2026-09-21T14:13:20.000000000Z"
    assert csv_rows[0]["attributes"] == '{"k": "v"}'


@pytest.mark.parametrize("kind", list(MEDIA_TYPES))
def test_an_export_of_nothing_is_a_valid_file(ledger: Ledger, kind: str) -> None:
    answer = ledger.client("read").get("/api/export/calls", params={"format": kind})
    assert answer.status_code == 200
    assert read_back(answer.content, kind) == []
