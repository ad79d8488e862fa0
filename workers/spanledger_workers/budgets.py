"""Budgets and spend in; steps told once, and counters that are never behind the ledger, out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from spanledger.records import Event, EventKind
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import spend
from spanledger_collector.store.registry.serving import Budget

from .audit import event, tell_once
from .clock import SECOND
from .memory import Memory

NANO = Decimal("1e-9")

# A counter only rises within its period. The gateway may have settled calls that the store has not
# yet, and the store knows calls that never passed the gateway: the larger of the two is the truth.
_RAISE = """
local spent = tonumber(redis.call('HGET', KEYS[1], 'spent') or '0')
if tonumber(ARGV[1]) > spent then redis.call('HSET', KEYS[1], 'spent', ARGV[1]) end
return redis.call('HGET', KEYS[1], 'spent')
"""


def period_start(period: str, now: int) -> datetime:
    """When the budget's running period began, UTC: midnight, Monday, the first, or 1970 for ``total``."""
    today = datetime.fromtimestamp(now // SECOND, UTC).replace(hour=0, minute=0, second=0)
    if period == "day":
        return today
    if period == "week":
        return today - timedelta(days=today.weekday())
    if period == "month":
        return today.replace(day=1)
    return datetime(1970, 1, 1, tzinfo=UTC)


def counter_key(project: str, budget: str, start: datetime) -> str:
    """The Redis key of a budget's counter in one period."""
    return f"spanledger:budget:{project}:{budget}:{start.date().isoformat()}"


def steps(budget: Budget, spent: Decimal) -> list[float]:
    """The shares in ``alert_at`` that the spend has reached."""
    return [share for share in budget.alert_at if spent >= Decimal(str(share)) * budget.amount]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """One budget, its period and its spend in USD."""

    project: str
    name: str
    budget: Budget
    start: datetime
    spent: Decimal


def step_events(view: BudgetView, now: int) -> list[Event]:
    """Two events for each step reached: the step for the audit trail, and the alert for people."""
    told: list[Event] = []
    for share in steps(view.budget, view.spent):
        blocks = view.budget.block_at is not None and share >= view.budget.block_at
        common: dict[str, Any] = {
            "project": view.project,
            "subject": view.name,
            "time": now,
            "title": f"Budget {view.name} reached {share:.0%}",
            "message": _message(view, blocks),
            "severity": "critical" if share >= 1 else "warning",
            "evidence": {"spent": view.spent, "amount": view.budget.amount, "share": share},
        }
        key = f"budget:{view.name}:{view.start.date().isoformat()}"
        both: tuple[tuple[EventKind, str], ...] = (
            ("budget_step", "blocked" if blocks else "reached"),
            ("alert", "firing"),
        )
        for kind, state in both:
            identity = (kind, key, share, view.budget.amount)
            told.append(event(kind, state=state, dedup_key=f"{key}:{share:g}", identity=identity, **common))
    return told


@dataclass(slots=True, kw_only=True)
class Budgets:
    """Compares spend in the store with each budget."""

    store: Client
    redis: Memory

    def tick(self, budgets: list[tuple[str, str, Budget]], now: int) -> list[Event]:
        """Raise counters and tell steps of all budgets (project, name, document); returns new events."""
        told: list[Event] = []
        for project, name, budget in budgets:
            start = period_start(budget.period, now)
            since = int(start.timestamp()) * SECOND
            stored = spend(self.store, project=project, scope={**budget.scope}, since=since)
            counted = self._raise(counter_key(project, name, start), stored)
            view = BudgetView(
                project=project, name=name, budget=budget, start=start, spent=max(stored, counted)
            )
            told += tell_once(self.store, project, step_events(view, now))
        return told

    def _raise(self, key: str, stored: Decimal) -> Decimal:
        found: Any = self.redis.eval(_RAISE, 1, key, str(int(stored / NANO)))
        return Decimal(int(found or 0)) * NANO


def _message(view: BudgetView, blocks: bool) -> str:
    share = view.spent / view.budget.amount
    told = f"{view.spent:.6f} of {view.budget.amount} USD spent ({share:.0%}) since {view.start.date()}"
    return f"{told}; further calls are refused" if blocks else told
