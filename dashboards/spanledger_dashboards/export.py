"""A filtered list in, a file out: CSV that no spreadsheet will run, and one span's raw record as JSON."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from spanledger_collector.store.reads import calls, spend, traces
from spanledger_collector.store.reads.cells import neutral
from spanledger_collector.store.reads.spend import DIMENSIONS
from spanledger_collector.store.reads.window import DAY, SECOND

from .call_filter import filter_of, order_of
from .cash import cash
from .here import here, read
from .text import when
from .view import BadView, View, view_of

router = APIRouter()

MAX_ROWS = 50_000
_BLOCK = 5_000
_COLUMNS = (
    "time", "trace", "span", "name", "operation", "status", "error_type", "provider", "model", "duration_ns", "ttft_ns",
    "input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "cost_total", "cost_saved", "team",
    "feature", "user_id", "session_id", "route", "upstream", "cache", "fallback_from", "purpose", "environment",
    "service", "output_start",
)  # fmt: skip


def csv_lines(header: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    """CSV text line by line, every text cell neutralised."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([neutral(cell) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


@router.get("/export/calls.csv")
async def calls_csv(request: Request) -> Response:
    """The calls page's list as CSV, at most ``MAX_ROWS`` rows, in the page's order."""
    try:
        view = _view(request, "/calls")
        which, (order, descending) = filter_of(view), order_of(view)
    except BadView as wrong:
        return PlainTextResponse(f"{wrong}\n", 400)
    rows: list[dict[str, Any]] = []
    while len(rows) < MAX_ROWS:
        block = await read(
            view,
            calls.calls,
            view.window,
            which,
            order=order,
            descending=descending,
            limit=_BLOCK,
            offset=len(rows),
        )
        rows += block
        if len(block) < _BLOCK:
            break
    lines = csv_lines(
        _COLUMNS, ([when(row["start_ns"]), *(row[name] for name in _COLUMNS[1:])] for row in rows)
    )
    return file(lines, f"calls-{view.project}.csv")


@router.get("/export/spend.csv")
async def spend_csv(request: Request) -> Response:
    """Spend by day and two dimensions as CSV: exact decimal amounts."""
    try:
        view = _view(request, "/spend")
    except BadView as wrong:
        return PlainTextResponse(f"{wrong}\n", 400)
    by = [
        name if name in DIMENSIONS else default
        for name, default in ((view.get("by"), "team"), (view.get("then"), "model"))
    ]
    only = {name: value for name, value in view.filters.items() if name in DIMENSIONS}
    money = await cash(view)
    found = await read(
        view,
        spend.spend,
        view.window,
        list(dict.fromkeys(by)),
        step_s=DAY // SECOND,
        only=only,
        rates=money.rates,
    )
    found.sort(key=lambda row: (row.bucket or 0, row.group))
    header = (
        "day",
        *dict.fromkeys(by),
        "calls",
        "errors",
        "unpriced",
        "input_tokens",
        "output_tokens",
        *(f"{name}_{money.currency.lower()}" for name in ("cost", "saved", "list_cost")),
    )
    rows = (
        [when((row.bucket or 0) * SECOND)[:10], *row.group, row.calls, row.errors, row.unpriced, row.input_tokens, row.output_tokens, row.cost, row.saved, row.list_cost]
        for row in found
    )  # fmt: skip
    return file(csv_lines(header, rows), f"spend-{view.project}.csv")


@router.get("/export/spans/{trace_id}/{span_id}.json")
async def span_json(request: Request, trace_id: str, span_id: str) -> Response:
    """One span as it is stored, every column; 404 when the project has no such span."""
    view = _view(request, "/traces")
    valid = re.fullmatch("[0-9a-f]{32}", trace_id) and re.fullmatch("[0-9a-f]{16}", span_id)
    record = await read(view, traces.span, trace_id, span_id) if valid else None
    if record is None:
        return PlainTextResponse("There is no such span in this project.\n", 404)
    body = await asyncio.to_thread(json.dumps, _plain(record), ensure_ascii=False, indent=1)
    return Response(body, media_type="application/json", headers=attachment(f"{span_id}.json"))


def _view(request: Request, path: str) -> View:
    return view_of(path, dict(request.query_params), here().viewer.projects, time.time_ns())


def file(lines: Iterator[str], name: str) -> Response:
    """A CSV file, line by line."""
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=attachment(name))


def attachment(name: str) -> dict[str, str]:
    """The header that makes a browser save an answer under a name without surprises."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return {"content-disposition": f'attachment; filename="{safe}"'}


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json(value) for name, value in record.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Decimal | datetime | date):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value
