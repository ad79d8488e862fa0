"""/api/finance/months, /statements, /focus: months signed, statements made, and the ledger as a FOCUS dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from spanledger_collector.books import closing
from spanledger_collector.books.focus import Export, focus_rows
from spanledger_collector.finance.focus import as_csv, as_parquet
from spanledger_collector.finance.focus.rows import Row
from spanledger_collector.finance.statement import Statement, Unit
from spanledger_collector.finance.statement import as_csv as statement_csv
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.months import Month

from .asking import Reader, Store
from .callers import Caller, caller_with
from .lines import Usd
from .problems import Refusal
from .times import FIRST_DAY, LAST_DAY, Day

router = APIRouter(prefix="/api/finance", tags=["finance"])

Writer = Annotated[Caller, Depends(caller_with("admin"))]
MonthName = Annotated[
    str, Query(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="A calendar month, UTC: 2026-05.")
]
_MOST_DAYS = 400


class MonthBody(BaseModel):
    """A month and its newest state."""

    month: str
    state: str
    cutoff: date | None
    signed_by: str
    note: str
    totals: str


class Signature(BaseModel):
    """What the signer says."""

    note: Annotated[str, Field(max_length=1000)] = ""


class Reason(BaseModel):
    """Why late figures are booked."""

    reason: Annotated[str, Field(min_length=3, max_length=1000)]


class LateBody(BaseModel):
    """What was booked of a closed month."""

    booked: int
    cost: Usd


class StatementBody(BaseModel):
    """A team's month, or the project's: lines, unit costs, budgets, and the change from the month before by its parts."""

    month: str
    team: str | None
    state: str
    signed_by: str
    cost: Usd
    unpriced: int
    differs: str
    lines: list[dict[str, Any]]
    features: list[dict[str, Any]]
    customers: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    change: dict[str, Usd]


def month_of(name: str) -> tuple[date, date]:
    """The first day of a month and of the next. Raises Refusal for what is no month."""
    if (
        not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", name)
        or not FIRST_DAY.year <= int(name[:4]) <= LAST_DAY.year
    ):
        raise Refusal(422, f"{name[:20]!r} is no month: write it as 2026-05")
    first = date(int(name[:4]), int(name[5:]), 1)
    return first, (first + timedelta(days=32)).replace(day=1)


@router.get("/months")
def list_months(store: Store, caller: Reader) -> list[MonthBody]:
    """The last twelve months, newest first, and who signed those that are closed."""
    return [_month(entry) for entry in closing.open_months(store, caller.project, datetime.now(UTC))]


@router.post("/months/{month}/close")
def close_month(request: Request, caller: Writer, month: str, body: Signature) -> MonthBody:
    """Sign a month: what is known before today is its figures, and only adjustments change them from now on."""
    writer: Client = request.app.state.registry.client
    author = f"key {caller.key.id}"
    try:
        return _month(
            closing.close(
                writer,
                caller.project,
                month_of(month)[0],
                author=author,
                note=body.note,
                now=datetime.now(UTC),
            )
        )
    except closing.ClosingError as refused:
        raise Refusal(409, str(refused)) from None


@router.post("/months/{month}/reopen-as-adjustment")
def reopen(request: Request, caller: Writer, month: str, body: Reason) -> LateBody:
    """Book what became known of a closed month since: late calls, new prices, restated GPU costs."""
    writer: Client = request.app.state.registry.client
    author = f"key {caller.key.id}"
    try:
        entries = closing.book_late(
            writer,
            caller.project,
            month_of(month)[0],
            author=author,
            reason=body.reason,
            now=datetime.now(UTC),
        )
    except closing.ClosingError as refused:
        raise Refusal(409, str(refused)) from None
    return LateBody(booked=len(entries), cost=sum((entry.cost for entry in entries), start=closing.ZERO))


@router.get(
    "/statements/{month}", response_model=StatementBody, responses={200: {"content": {"text/csv": {}}}}
)
def statement(
    store: Store,
    caller: Reader,
    month: str,
    team: Annotated[
        str | None, Query(max_length=200, description="One team; without it the project.")
    ] = None,
    score: Annotated[
        str, Query(max_length=200, description="A score that says an answer resolved its case.")
    ] = "",
    least: Annotated[float, Query(description="The least value of that score.")] = 1.0,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> StatementBody | Response:
    """A month's statement; of a closed month the signed figures and what was booked since."""
    told = closing.statement(store, caller.project, month_of(month)[0], team, score=score, least=least)
    if form == "csv":
        return PlainTextResponse(statement_csv([told]), media_type="text/csv; charset=utf-8")
    return _statement(told)


@router.get("/focus", response_class=StreamingResponse)
def focus(
    store: Store,
    caller: Reader,
    first: Annotated[Day, Query(alias="from")],
    after: Annotated[Day, Query(alias="to", description="Exclusive.")],
    step: Literal["day", "month"] = "day",
    since: Annotated[
        Day | None, Query(description="Only periods changed on that day or later, each told whole.")
    ] = None,
    form: Annotated[Literal["csv", "parquet"], Query(alias="format")] = "csv",
) -> StreamingResponse:
    """The ledger as a FOCUS 1.2 dataset. A broken transfer never looks complete."""
    if after <= first or (after - first).days > _MOST_DAYS:
        raise Refusal(422, f"to comes after from, by at most {_MOST_DAYS} days")
    rows = focus_rows(store, caller.project, Export(first=first, after=after, step=step, since=since))
    # The first row is read here, so that a refusal is still a problem and no cut file.
    head: list[Row] = [row for row in (next(rows, None),) if row is not None]
    body: Iterator[bytes] = (as_csv if form == "csv" else as_parquet)(chain(head, rows))
    media = "text/csv; charset=utf-8" if form == "csv" else "application/vnd.apache.parquet"
    name = f'attachment; filename="focus-{first}-{after}.{form}"'
    return StreamingResponse(body, media_type=media, headers={"Content-Disposition": name})


def _month(entry: Month) -> MonthBody:
    closed = entry.state == "closed"
    return MonthBody(
        month=f"{entry.first:%Y-%m}",
        state=entry.state,
        cutoff=entry.cutoff if closed else None,
        signed_by=entry.author if closed else "",
        note=entry.note,
        totals=entry.totals,
    )


def _statement(told: Statement) -> StatementBody:
    return StatementBody(
        month=f"{told.month:%Y-%m}",
        team=told.team,
        state=told.state,
        signed_by=told.signed_by,
        cost=told.cost,
        unpriced=told.unpriced,
        differs=told.differs,
        lines=[_plain(line, ("team", "category", "provider", "model", "calls", "unpriced", "tokens_in", "tokens_out", "cost", "saved")) for line in told.lines],
        features=[_unit(unit) for unit in told.features],
        customers=[_unit(unit) for unit in told.customers],
        budgets=[_plain(entry, ("name", "amount", "spent", "left")) for entry in told.budgets],
        change={"before": told.change.before, "after": told.change.after, **dict(told.change.parts())},
    )  # fmt: skip


def _unit(unit: Unit) -> dict[str, Any]:
    return _plain(
        unit,
        (
            "group",
            "cost",
            "calls",
            "conversations",
            "resolved",
            "per_call",
            "per_conversation",
            "per_resolved",
        ),
    )


def _plain(entry: object, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in names}
    return {
        name: value if value is None or isinstance(value, int | str) else format(value, "f")
        for name, value in values.items()
    }
