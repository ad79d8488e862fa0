"""Budgets and spend in; steps told once, and counters that are never behind the ledger, out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spanledger.records import Event, EventKind
from spanledger.serving.budgets import MISSING, REBUILD, counter_key, dollars, nano, period_start
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import spend
from spanledger_collector.store.registry.serving import Budget

from .audit import event, tell_once
from .clock import SECOND
from .memory import Memory

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """One budget, its period, its spend in USD, and how many calls it refused in the period."""

    project: str
    name: str
    budget: Budget
    start: datetime
    spent: Decimal
    refused: int = 0


def steps(view: BudgetView) -> list[float]:
    """The shares that count as reached: those in ``alert_at`` the spend has passed, and once a call was refused
    the share that refuses, for a gateway refuses the call that would pass it and the spend may stay just below.
    """
    budget = view.budget
    reached = {share for share in budget.alert_at if view.spent >= Decimal(str(share)) * budget.amount}
    refusing = min((s for s in (budget.block_at, budget.cache_only_at) if s is not None), default=None)
    if view.refused and refusing is not None:
        reached.add(refusing)
    return sorted(reached)


def step_events(view: BudgetView, now: int) -> list[Event]:
    """Two events for each step reached: the step for the audit trail, and the alert for people."""
    told: list[Event] = []
    for share in steps(view):
        blocks = view.budget.block_at is not None and share >= view.budget.block_at
        common: dict[str, Any] = {
            "project": view.project,
            "subject": view.name,
            "time": now,
            "title": f"Budget {view.name} " + ("is used up" if blocks else f"reached {share:.0%}"),
            "message": _message(view, blocks),
            "severity": "critical" if share >= 1 else "warning",
            "evidence": {
                "spent": view.spent,
                "amount": view.budget.amount,
                "share": share,
                "refused": view.refused,
            },
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
            moment = datetime.fromtimestamp(now // SECOND, UTC)
            start = period_start(budget.period, moment) or _EVER
            since = int(start.timestamp()) * SECOND
            stored = spend(self.store, project=project, scope={**budget.scope}, since=since)
            spent, refused = self._raise(counter_key(project, name, budget.period, moment), stored)
            view = BudgetView(
                project=project, name=name, budget=budget, start=start, spent=spent, refused=refused
            )
            told += tell_once(self.store, project, step_events(view, now))
        return told

    def _raise(self, key: str, stored: Decimal) -> tuple[Decimal, int]:
        """The gateway may have settled calls that the store has not yet, and the store knows calls that
        never passed a gateway: the larger is the truth, for a counter only rises within its period.
        """
        spent, refused = self.redis.eval(REBUILD, 2, key, MISSING, nano(stored))
        return dollars(int(spent)), int(refused)


def _message(view: BudgetView, blocks: bool) -> str:
    share = view.spent / view.budget.amount
    told = f"{view.spent:.6f} of {view.budget.amount} USD spent ({share:.0%}) since {view.start.date()}"
    return f"{told}; calls that would pass {view.budget.block_at:.0%} are refused" if blocks else told
