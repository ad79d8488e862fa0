"""Budgets, their spend and odd days in; alerts of budgets that burn too fast and of days out of habit out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from spanledger.records import Event
from spanledger_collector.books import outlook
from spanledger_collector.finance.anomaly import Anomaly
from spanledger_collector.finance.burn import Burn, burning, gravest
from spanledger_collector.finance.forecast import period_of
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.budgets import budget_spend
from spanledger_collector.store.reads.evaluation import last_states
from spanledger_collector.store.registry.serving import Budget
from spanledger_collector.store.writes_evaluation import insert_events

from .audit import event, tell_once
from .clock import SECOND

_ENDLESS_S = 30 * 86_400  # a budget without a period burns as one of a month does


@dataclass(slots=True, kw_only=True)
class Outlook:
    """Looks at the money that is to come."""

    store: Client

    def burns(self, budgets: list[tuple[str, str, Budget]], now: int) -> list[Event]:
        """Tell budgets that began to burn too fast, and those that stopped."""
        told: list[Event] = []
        last: dict[str, dict[str, str]] = {}
        for project, name, budget in budgets:
            if project not in last:
                states = last_states(self.store, project=project, kind="alert")
                last[project] = {row.dedup_key: row.state for row in states}
            key = f"burn:{name}"
            burn = gravest(self._burning(project, budget, now))
            firing = last[project].get(key) == "firing"
            if (burn is not None) != firing:
                told.append(burn_event(project, name, burn, now, key))
        insert_events(self.store, told)
        return told

    def _burning(self, project: str, budget: Budget, now: int) -> list[Burn]:
        moment = datetime.fromtimestamp(now // SECOND, UTC)
        start, end = period_of(budget.period, moment)
        period_s = int((end - start).total_seconds()) if end else _ENDLESS_S
        begun = int(start.timestamp()) * SECOND

        def spent_in(seconds: int) -> Decimal:
            since = now - seconds * SECOND
            since = (
                max(since, begun) if end else since
            )  # what a former period spent burns nothing of this one
            return budget_spend(
                self.store,
                project=project,
                scope={**budget.scope},
                covers=budget.covers,
                since=since,
                now=now,
            )

        return burning(spent_in, budget.amount, period_s)

    def odd_days(self, projects: list[str], now: int) -> list[Event]:
        """Tell yesterday where it was out of habit; each day of each project once."""
        yesterday = (datetime.fromtimestamp(now // SECOND, UTC) - timedelta(days=1)).date()
        told: list[Event] = []
        for project in projects:
            found = outlook.odd_day(self.store, project, yesterday)
            if found is not None:
                told += tell_once(self.store, project, [anomaly_event(project, found, now)])
        return told


def burn_event(project: str, name: str, burn: Burn | None, now: int, key: str) -> Event:
    """A budget burns ``rate`` times as fast as it may, or does so no longer."""
    if burn is None:
        title, message = f"Budget {name} no longer burns too fast", ""
    else:
        title = f"Budget {name} burns {burn.rate:.1f} times as fast as it lasts"
        message = f"{burn.spent:.4f} USD within {_words(burn.window_s)}; told from {burn.limit:.1f} times on"
    return event(
        "alert",
        project=project,
        subject=name,
        time=now,
        title=title,
        message=message,
        severity=burn.severity if burn else "info",
        state="firing" if burn else "resolved",
        dedup_key=key,
        evidence={"rate": burn.rate, "limit": burn.limit, "window_s": burn.window_s, "spent": burn.spent}
        if burn
        else None,
    )


def anomaly_event(project: str, found: Anomaly, now: int) -> Event:
    """A day out of habit, with what moved."""
    moved = ", ".join(
        f"{part.dimension} {part.value or '(none)'} {part.difference:+.2f} USD" for part in found.moved
    )
    return event(
        "alert",
        project=project,
        subject="spend",
        time=now,
        title=f"Spend of {found.day} was {found.cost:.2f} USD where {found.expected:.2f} was to be expected",
        message=f"moved: {moved}" if moved else "no single dimension moved",
        severity="warning",
        state="firing",
        dedup_key=f"anomaly:{found.day}",
        identity=("anomaly", found.day.isoformat()),
        evidence={
            "day": found.day, "cost": found.cost, "expected": found.expected, "low": found.low, "high": found.high,
            "moved": [{"dimension": part.dimension, "value": part.value, "difference": part.difference} for part in found.moved],
        },
    )  # fmt: skip


def _words(seconds: int) -> str:
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds} seconds"
