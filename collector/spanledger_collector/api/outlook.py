"""/api/finance/forecast and /anomalies: what a period will have cost at its end, and days out of habit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from spanledger_collector.books import outlook
from spanledger_collector.finance.anomaly import Anomaly
from spanledger_collector.store.finance.forecasts import Told

from .asking import Reader, Store
from .lines import Usd

router = APIRouter(prefix="/api/finance", tags=["finance"])


class ForecastBody(BaseModel):
    """USD at the period's end with its 90 % interval; null where nothing can be said. ``method`` says what it rests on."""

    subject: str
    made: datetime
    period_start: date
    method: str
    days: int
    spent: Usd
    at_end: float | None
    low: float | None
    high: float | None
    amount: Usd | None
    reached: date | None
    earliest: date | None


class MovedBody(BaseModel):
    """One value of the dimension that moved."""

    dimension: str
    value: str
    difference: Usd
    share: float


class AnomalyBody(BaseModel):
    """A day out of its weekday's habit."""

    day: date
    cost: Usd
    expected: Usd
    low: Usd
    high: Usd
    moved: list[MovedBody]


@router.get("/forecast")
def forecast(store: Store, caller: Reader) -> list[ForecastBody]:
    """The project's month, then each budget's period."""
    return [
        _told(entry) for _, entry in sorted(outlook.current(store, caller.project, datetime.now(UTC)).items())
    ]


@router.get("/anomalies")
def anomalies(
    store: Store,
    caller: Reader,
    days: Annotated[int, Query(ge=1, le=60, description="Whole days to look at.")] = 14,
) -> list[AnomalyBody]:
    """Odd ones of the latest whole days, newest first, with the dimension that moved."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return [_anomaly(found) for found in outlook.odd_days(store, caller.project, yesterday, days)]


def _told(entry: Told) -> ForecastBody:
    said = entry.forecast
    return ForecastBody(
        subject=entry.subject or "project",
        made=entry.time,
        period_start=entry.period_start,
        method=said.method,
        days=said.days,
        spent=said.spent,
        at_end=said.at_end,
        low=said.low,
        high=said.high,
        amount=entry.amount,
        reached=entry.reached,
        earliest=entry.earliest,
    )


def _anomaly(found: Anomaly) -> AnomalyBody:
    moved = [
        MovedBody(
            dimension=part.dimension, value=part.value, difference=Decimal(part.difference), share=part.share
        )
        for part in found.moved
    ]
    return AnomalyBody(
        day=found.day, cost=found.cost, expected=found.expected, low=found.low, high=found.high, moved=moved
    )
