"""Forecasts as the worker fitted them: rows of ``forecasts`` in and out, the newest of each subject."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from spanledger_collector.finance.forecast import Ahead, Forecast
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import Row, ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One subject's forecast: the project (``subject`` empty) or a budget (``budget:NAME``), and when it was made."""

    subject: str
    time: datetime
    period_start: date
    forecast: Forecast
    amount: Decimal | None = None

    @property
    def reached(self) -> date | None:
        """When the amount is expected to be used up."""
        return None if self.amount is None else self.forecast.reached(self.amount)

    @property
    def earliest(self) -> date | None:
        """The same at the upper end of the interval."""
        return None if self.amount is None else self.forecast.reached(self.amount, "high")


def write(client: Client, project: str, told: Sequence[Told]) -> None:
    """Replace the forecasts of these subjects."""
    rows = [
        {
            "project": project,
            "subject": entry.subject,
            "time": entry.time.astimezone(UTC),
            "period_start": entry.period_start,
            "method": entry.forecast.method,
            "days": entry.forecast.days,
            "spent": entry.forecast.spent,
            "at_end": entry.forecast.at_end,
            "low": entry.forecast.low,
            "high": entry.forecast.high,
            "amount": entry.amount,
            "reached": entry.reached,
            "earliest": entry.earliest,
            "ahead": json.dumps([[a.day.isoformat(), a.mean, a.low, a.high] for a in entry.forecast.ahead]),
        }
        for entry in told
    ]
    if rows:
        client.insert("forecasts", [list(row.values()) for row in rows], column_names=list(rows[0]))


def stored(client: Client, project: str) -> dict[str, Told]:
    """The newest forecast of each subject."""
    sql = "SELECT * FROM forecasts FINAL WHERE project = {project:String} ORDER BY subject LIMIT 1000"
    return {str(row["subject"]): _told(row) for row in ask(client, sql, {"project": project})}


def _told(row: Row) -> Told:
    ahead = [
        Ahead(day=date.fromisoformat(day), mean=mean, low=low, high=high)
        for day, mean, low, high in json.loads(row["ahead"])
    ]
    return Told(
        subject=str(row["subject"]),
        time=row["time"],
        period_start=row["period_start"],
        forecast=Forecast(
            spent=Decimal(row["spent"]), method=row["method"], days=int(row["days"]), ahead=tuple(ahead)
        ),
        amount=None if row["amount"] is None else Decimal(row["amount"]),
    )
