"""What is to come and what was odd: forecasts of a project and its budgets, days out of habit and what moved them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from spanledger_collector.finance.anomaly import FEWEST, WEEKS, Anomaly, judge
from spanledger_collector.finance.forecast import LONGEST, forecast, period_of
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance import forecasts
from spanledger_collector.store.finance.forecasts import Told
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.charges import days_window
from spanledger_collector.store.reads.ledger import Ask
from spanledger_collector.store.registry.registry import Registry

DIMENSIONS = ("team", "feature", "customer_id", "model", "key_id", "provider", "purpose", "route", "gpu_pool")
"""What may have moved, those that people act on first."""
FRESH = timedelta(hours=26)
_DAY_S = 86_400
_ENDLESS = timedelta(days=365)  # a budget without end is looked at so far ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a forecast is about: the project's month, or a budget's period; ``covers`` as budgets have it."""

    name: str
    period: str = "month"
    scope: Mapping[str, str] | None = None
    covers: Sequence[str] = ()
    amount: Decimal | None = None


def subjects(client: Client, project: str) -> list[Subject]:
    """The project, and every budget whose scope the ledger can tell."""
    found = [Subject(name="")]
    for version in Registry(client).list([project], ["budget"]):
        document: dict[str, Any] = version.document
        scope: dict[str, str] = document.get("scope", {})
        if set(scope) <= set(ledger.DIMENSIONS):
            found.append(
                Subject(
                    name=f"budget:{version.name}",
                    period=str(document.get("period", "month")),
                    scope=scope,
                    covers=document.get("covers", ()),
                    amount=Decimal(str(document["amount"])),
                )
            )
    return found


def foresee(client: Client, project: str, subject: Subject, now: datetime, *, model: bool = True) -> Told:
    """Forecast one subject from the ledger. ``model`` false keeps statsmodels out."""
    start, end = period_of(subject.period, now)
    today = now.astimezone(UTC).date()
    since = max(start.date(), today - timedelta(days=4000))
    spent = _daily(client, project, since, today + timedelta(days=1), subject.scope, subject.covers)
    days = _daily(client, project, today - timedelta(days=LONGEST), today, subject.scope, subject.covers)
    history = [days.get(today - timedelta(days=back), Decimal(0)) for back in range(LONGEST, 0, -1)]
    total = sum(spent.values(), Decimal(0))
    told = forecast(total, history, now, end or now + _ENDLESS, model=model)
    return Told(
        subject=subject.name, time=now, period_start=start.date(), forecast=told, amount=subject.amount
    )


def refresh(client: Client, project: str, now: datetime, *, model: bool = True) -> list[Told]:
    """Forecast every subject of a project and keep what was found."""
    told = [foresee(client, project, subject, now, model=model) for subject in subjects(client, project)]
    forecasts.write(client, project, told)
    return told


def current(client: Client, project: str, now: datetime) -> dict[str, Told]:
    """Forecasts for a page: the worker's where they are fresh and of the running period, else made without a model."""
    kept = forecasts.stored(client, project)
    return {
        subject.name: _fresh(client, project, subject, kept, now) for subject in subjects(client, project)
    }


def month_ahead(client: Client, project: str, now: datetime) -> Told:
    """The project's month alone, as ``current`` has it."""
    return _fresh(client, project, Subject(name=""), forecasts.stored(client, project), now)


def _fresh(client: Client, project: str, subject: Subject, kept: Mapping[str, Told], now: datetime) -> Told:
    told = kept.get(subject.name)
    start, _ = period_of(subject.period, now)
    fits = told is not None and told.period_start == start.date()
    if told is None or not fits or now - told.time.astimezone(UTC) >= FRESH or told.amount != subject.amount:
        return foresee(client, project, subject, now, model=False)
    return told


def odd_day(client: Client, project: str, day: date) -> Anomaly | None:
    """Whether a whole day's spend was out of habit, and which dimension moved it."""
    first = day - timedelta(days=WEEKS * 7)
    total = _daily(client, project, first, day + timedelta(days=1))
    if min(total, default=day) > day - timedelta(days=FEWEST) or judge(total, {}, day) is None:
        return None
    by = {name: _by(client, project, first, day, name) for name in DIMENSIONS}
    return judge(total, by, day)


def odd_days(client: Client, project: str, day: date, count: int = 14) -> list[Anomaly]:
    """The odd ones of the latest whole days up to ``day``, newest first."""
    first = day - timedelta(days=WEEKS * 7 + count)
    total = _daily(client, project, first, day + timedelta(days=1))
    candidates = [day - timedelta(days=back) for back in range(count)]
    odd = [
        at
        for at in candidates
        if min(total, default=at) <= at - timedelta(days=FEWEST) and judge(total, {}, at)
    ]
    return [found for at in odd if (found := odd_day(client, project, at))]


def _daily(
    client: Client,
    project: str,
    first: date,
    after: date,
    scope: Mapping[str, str] | None = None,
    covers: Sequence[str] = (),
) -> dict[date, Decimal]:
    found: dict[date, Decimal] = defaultdict(Decimal)
    by, which = ["category"] if covers else [], Ask(only=scope or None)
    for entry in ledger.costs(client, project, days_window(first, after), by, step_s=_DAY_S, which=which):
        if not covers or entry.group[0] in covers:
            found[_day(entry.bucket)] += entry.cost
    return found


def _by(client: Client, project: str, first: date, day: date, name: str) -> dict[str, dict[date, Decimal]]:
    found: dict[str, dict[date, Decimal]] = defaultdict(dict)
    window = days_window(first, day + timedelta(days=1))
    for entry in ledger.costs(client, project, window, [name], step_s=_DAY_S):
        found[entry.group[0]][_day(entry.bucket)] = entry.cost
    return found


def _day(bucket: int | None) -> date:
    return datetime.fromtimestamp(bucket or 0, UTC).date()
