"""/api/finance/invoices, /reconciliation, /adjustments: vendors' bills in, and what they have to do with our ledger."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from spanledger_collector.books import invoices as books
from spanledger_collector.finance.bills import BillError, Source
from spanledger_collector.finance.bills.tables import MAX_BYTES
from spanledger_collector.finance.reconcile import Finding
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance import adjustments, invoices
from spanledger_collector.store.finance.adjustments import Adjustment
from spanledger_collector.store.finance.invoices import Import

from .asking import Reader, Store
from .bill_rows import REFUSED
from .callers import Caller, caller_with
from .lines import Usd
from .months import MonthName, month_of
from .problems import Refusal
from .times import Day

router = APIRouter(prefix="/api/finance", tags=["finance"])

Writer = Annotated[Caller, Depends(caller_with("admin"))]
SourceName = Annotated[
    str, Query(min_length=1, max_length=200, description="An invoice_source document, openai or anthropic.")
]
CELLS = 2_000


class ImportBody(BaseModel):
    """A file that was imported; amounts by currency, rows left out by reason."""

    import_id: str
    source: str
    time: datetime
    author: str
    file: str
    format: str
    lines: int
    first_day: date
    last_day: date
    amounts: dict[str, Usd]
    left_out: dict[str, int]
    warnings: list[str]
    withdrawn: bool


class FindingBody(BaseModel):
    """A cause and what it explains: ``amount`` is theirs less ours in USD; ``accepted`` when it was booked."""

    id: str
    cause: str
    title: str
    advice: str
    subject: str
    amount: Usd
    first: date
    last: date
    models: list[str]
    accounts: list[str]
    cells: int
    lines: list[int]
    accepted: bool


class CellBody(BaseModel):
    """One day, account, model, tier and token type on both sides."""

    day: date
    account: str
    model: str
    tier: str
    token_type: str
    our_tokens: int
    their_tokens: int | None
    ours: Usd
    theirs: Usd | None
    verdict: str
    cause: str
    difference: Usd
    lines: list[int]


class ReconciliationBody(BaseModel):
    """A month of one source. ``shares`` are parts of the greater total, 0 to 1; ``cells`` those that do not match."""

    source: str
    since: date
    until: date
    time_zone: str
    estimated: bool
    totals: dict[str, Usd]
    shares: dict[str, float]
    findings: list[FindingBody]
    cells: list[CellBody]
    cells_left_off: int
    imports: list[str]


class AdjustmentDraft(BaseModel):
    """A booking by hand: ``cost`` in USD, may be negative; ``group``: whose it is."""

    day: Day
    cost: Annotated[Decimal, Field(max_digits=30, decimal_places=12)]
    reason: Annotated[str, Field(min_length=3, max_length=1000)]
    identity: Annotated[
        str, Field(min_length=1, max_length=200, description="The same identity is booked once.")
    ]
    category: Annotated[str, Field(max_length=50)] = "adjustment"
    team: Annotated[str, Field(max_length=200)] = ""
    provider: Annotated[str, Field(max_length=200)] = ""
    model: Annotated[str, Field(max_length=200)] = ""


class Acceptance(BaseModel):
    """Why a finding is booked."""

    reason: Annotated[str, Field(min_length=3, max_length=1000)]


class BookedBody(BaseModel):
    """A booking. ``booked`` false: it was there before."""

    adjustment_id: str
    booked: bool
    cost: Usd


@router.post("/invoices", status_code=201)
async def import_invoice(
    request: Request,
    caller: Writer,
    source: SourceName,
    file: Annotated[str, Query(max_length=300, description="The file's name, for people.")] = "",
) -> ImportBody:
    """Import a vendor's file, sent as it came (JSON, CSV, Parquet; gzip too). The same file again changes nothing."""
    data = await _body(request)
    writer: Client = request.app.state.registry.client
    return await run_in_threadpool(_imported, writer, caller, source, data, file)


def _imported(client: Client, caller: Caller, source: str, data: bytes, file: str) -> ImportBody:
    of = books.source(client, caller.project, source)
    author, now = f"key {caller.key.id}", datetime.now(UTC)
    try:
        return _import(books.import_file(client, caller.project, of, data, file=file, author=author, now=now))
    except BillError as wrong:
        REFUSED.inc()
        raise Refusal(422, str(wrong)) from None


@router.get("/invoices")
def list_invoices(
    store: Store, caller: Reader, source: Annotated[str, Query(max_length=200)] = ""
) -> list[ImportBody]:
    """What was imported, newest first; withdrawn imports too."""
    return [_import(entry) for entry in invoices.imports(store, caller.project, source)]


@router.delete("/invoices/{import_id}")
def withdraw_invoice(request: Request, caller: Writer, import_id: str) -> ImportBody:
    """Let an import no longer count. Its lines stay; importing the file again brings it back."""
    writer: Client = request.app.state.registry.client
    try:
        gone = books.withdraw(
            writer, caller.project, import_id, author=f"key {caller.key.id}", now=datetime.now(UTC)
        )
    except KeyError:
        raise Refusal(404, f"there is no import {import_id!r}") from None
    return _import(gone)


@router.get("/reconciliation")
def reconciliation(store: Store, caller: Reader, source: SourceName, month: MonthName) -> ReconciliationBody:
    """A source's bills of a month against our calls: what matches, what does not, and why."""
    return _reconciliation(
        _compared(store, caller.project, books.source(store, caller.project, source), month)
    )


@router.post("/reconciliation/{finding}/accept")
def accept(
    request: Request, caller: Writer, finding: str, source: SourceName, month: MonthName, body: Acceptance
) -> BookedBody:
    """Book a finding's amount as an adjustment, so that the ledger says what the bill says."""
    writer: Client = request.app.state.registry.client
    compared = _compared(writer, caller.project, books.source(writer, caller.project, source), month)
    try:
        found, ids = books.accept(
            writer, caller.project, compared, finding, author=f"key {caller.key.id}", reason=body.reason
        )
    except KeyError:
        raise Refusal(404, f"there is no finding {finding!r} in this month") from None
    return BookedBody(adjustment_id=ids[0] if ids else "", booked=bool(ids), cost=found.amount)


@router.post("/adjustments", status_code=201)
def adjust(request: Request, caller: Writer, body: AdjustmentDraft) -> BookedBody:
    """Book an amount by hand."""
    writer: Client = request.app.state.registry.client
    entry = Adjustment(
        project=caller.project,
        day=body.day,
        kind="manual",
        category=body.category,
        cost=body.cost,
        reason=body.reason,
        author=f"key {caller.key.id}",
        identity=body.identity,
        group={"team": body.team, "provider": body.provider, "model": body.model},
    )
    booked = adjustments.book(writer, [entry])
    return BookedBody(adjustment_id=entry.adjustment_id, booked=bool(booked), cost=entry.cost)


@router.get("/adjustments")
def list_adjustments(store: Store, caller: Reader, month: MonthName) -> list[dict[str, Any]]:
    """Bookings of a month, newest first: who, how much, why."""
    first, after = month_of(month)
    rows = adjustments.stored(store, caller.project, first, after)
    return [
        {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]


async def _body(request: Request) -> bytes:
    pieces, size = list[bytes](), 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BYTES:
            raise Refusal(
                413, f"the file has more than {MAX_BYTES // 1024 // 1024} MiB: send fewer days at a time"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _compared(client: Client, project: str, of: Source, month: str) -> books.Compared:
    compared = books.compare(client, project, of, month_of(month)[0])
    if compared is None:
        raise Refusal(
            404, f"no line of {of.name!r} of {month} was imported: POST its file to /api/finance/invoices"
        )
    return compared


def _reconciliation(compared: books.Compared) -> ReconciliationBody:
    report = compared.report
    open_ = [cell for cell in report.cells if cell.verdict != "matched"]
    rest = books.unexplained(report)
    totals = asdict(report.totals)
    return ReconciliationBody(
        source=compared.source.name,
        since=report.since,
        until=report.until,
        time_zone=report.time_zone,
        estimated=report.estimated,
        totals=totals,
        shares={name: report.totals.share(value) for name, value in totals.items()},
        findings=[_finding(compared, entry) for entry in [*report.findings, *([rest] if rest else [])]],
        cells=[CellBody.model_validate(cell, from_attributes=True) for cell in open_[:CELLS]],
        cells_left_off=max(0, len(open_) - CELLS),
        imports=[entry.import_id for entry in compared.imports],
    )


def _finding(compared: books.Compared, entry: Finding) -> FindingBody:
    name = books.finding_id(compared.source, entry)
    return FindingBody(
        id=name,
        cause=entry.cause,
        title=entry.title,
        advice=entry.advice,
        subject=entry.subject,
        amount=entry.amount,
        first=entry.first,
        last=entry.last,
        models=list(entry.models),
        accounts=list(entry.accounts),
        cells=entry.cells,
        lines=list(entry.lines),
        accepted=name in compared.accepted,
    )


def _import(noted: Import) -> ImportBody:
    return ImportBody.model_validate(noted, from_attributes=True)
