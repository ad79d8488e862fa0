"""Money as files: a statement, and the cells of a reconciliation. Text that a spreadsheet would run is neutralised."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from spanledger_collector.books import closing
from spanledger_collector.books import invoices as books
from spanledger_collector.finance.statement import as_csv
from spanledger_collector.store.registry.errors import NotFoundError

from .export import attachment, csv_lines, file
from .here import here, read
from .months import month_of
from .view import BadView, View, view_of

router = APIRouter()

_CELLS = (
    "day", "account", "model", "tier", "token_type", "verdict", "cause", "bill_usd", "ours_usd", "difference_usd",
    "bill_tokens", "our_tokens",
)  # fmt: skip


@router.get("/export/statement.csv")
async def statement_csv(request: Request) -> Response:
    """A month's charges, of all teams or of one: exact decimal amounts."""
    try:
        view = _view(request, "/statements")
        month = month_of(view, before=1)
    except BadView as wrong:
        return PlainTextResponse(f"{wrong}\n", 400)
    told = await read(view, closing.statement, month, view.filters.get("team"))
    headers = attachment(f"statement-{view.project}-{month:%Y-%m}.csv")
    return Response(as_csv([told]), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/export/reconciliation.csv")
async def reconciliation_csv(request: Request) -> Response:
    """Every cell of a month's reconciliation, those that match too."""
    try:
        view = _view(request, "/reconciliation")
        month = month_of(view, before=1)
        source = await read(view, books.source, view.get("source") or books.KNOWN[0])
    except (BadView, NotFoundError) as wrong:
        return PlainTextResponse(f"{wrong}\n", 400)
    compared = await read(view, books.compare, source, month)
    rows: Iterator[Sequence[object]] = (
        [cell.day, cell.account, cell.model, cell.tier, cell.token_type, cell.verdict, cell.cause, cell.theirs, cell.ours, cell.difference, cell.their_tokens, cell.our_tokens]
        for cell in (compared.report.cells if compared else ())
    )  # fmt: skip
    return file(csv_lines(_CELLS, rows), f"reconciliation-{view.project}-{source.name}-{month:%Y-%m}.csv")


def _view(request: Request, path: str) -> View:
    return view_of(path, dict(request.query_params), here().viewer.projects, time.time_ns())
