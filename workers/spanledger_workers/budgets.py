"""Budgets and spend in; steps told once, stages by forecast, and counters that are never behind the ledger, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spanledger.records import Event, EventKind
from spanledger.serving.budgets import (
    MISSING,
    REBUILD,
    counter_key,
    dollars,
    nano,
    period_end,
    period_start,
)
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.budgets import budget_spend
from spanledger_collector.store.reads.evaluation import LastState, last_states
from spanledger_collector.store.registry.serving import Budget
from spanledger_collector.store.writes_evaluation import insert_events

from .audit import event, tell_once
from .clock import HOUR, SECOND
from .forecast import STAGES, WINDOWS, Forecast, Stage, forecast, stage_of
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

    @property
    def key(self) -> str:
        """What all events of this budget and period have in common."""
        return f"budget:{self.name}:{self.start.date().isoformat()}"


def steps(view: BudgetView) -> list[float]:
    """The shares that count as reached: those of ``alert_at`` and of the stages that the spend has passed, and once a
    call was refused the share that refuses, for a gateway refuses the call that would pass it and the spend may stay
    just below.
    """
    budget = view.budget
    stages = [
        share for share in (budget.cheaper_at, budget.cache_only_at, budget.block_at) if share is not None
    ]
    shares = {*budget.alert_at, *stages}
    reached = {share for share in shares if view.spent >= Decimal(str(share)) * budget.amount}
    refusing = min((s for s in (budget.block_at, budget.cache_only_at) if s is not None), default=None)
    if view.refused and refusing is not None:
        reached.add(refusing)
    return sorted(reached)


def step_events(view: BudgetView, now: int) -> list[Event]:
    """Two events for each step reached: the step for the audit trail, and the alert for people."""
    told: list[Event] = []
    for share in steps(view):
        title, state = _step_words(view.budget, share)
        common: dict[str, Any] = {
            "project": view.project,
            "subject": view.name,
            "time": now,
            "title": f"Budget {view.name} {title}",
            "message": _message(view, state),
            "severity": "critical" if share >= 1 or state != "reached" else "warning",
            "evidence": {
                "spent": view.spent,
                "amount": view.budget.amount,
                "share": share,
                "refused": view.refused,
                "covers": view.budget.covers or "all",
            },
        }
        both: tuple[tuple[EventKind, str], ...] = (("budget_step", state), ("alert", "firing"))
        for kind, said in both:
            identity = (kind, view.key, share, view.budget.amount)
            key = f"{view.key}:{share:g}"
            told.append(event(kind, state=said, dedup_key=key, identity=identity, **common))
    return told


def forecast_events(view: BudgetView, seen: Forecast, stage: Stage, now: int) -> list[Event]:
    """What is told when the stage by forecast changes, up or down."""
    words = {
        "": "is on track again",
        "warned": "will be passed at this rate",
        "cheaper": f"will be passed at this rate: calls go to {view.budget.cheaper_route}",
        "cache_only": "will be passed at this rate: only the cache answers",
    }
    share = seen.expected / view.budget.amount
    common: dict[str, Any] = {
        "project": view.project,
        "subject": view.name,
        "time": now,
        "title": f"Budget {view.name} {words[stage]}",
        "message": f"{view.spent:.6f} of {view.budget.amount} USD spent since {view.start.date()}; at {seen.usd_per_hour:.6f} USD"
        f" an hour {seen.expected:.6f} USD ({share:.0%}) are to be expected at the period's end",
        "severity": "info" if not stage else "warning" if stage == "warned" else "critical",
        "dedup_key": f"{view.key}:forecast",
        "evidence": {
            "spent": view.spent,
            "amount": view.budget.amount,
            "expected": seen.expected,
            "usd_per_hour": seen.usd_per_hour,
        },
    }
    return [
        event("budget_step", state=stage or "on_track", **common),
        event("alert", state="firing" if stage else "resolved", **common),
    ]


@dataclass(slots=True, kw_only=True)
class Budgets:
    """Compares spend in the ledger with each budget."""

    store: Client
    redis: Memory

    def tick(self, budgets: list[tuple[str, str, Budget]], now: int) -> list[Event]:
        """Raise counters, set stages and tell steps of all budgets (project, name, document); returns new events."""
        told: list[Event] = []
        last: dict[str, Mapping[str, LastState]] = {}
        for project, name, budget in budgets:
            moment = datetime.fromtimestamp(now // SECOND, UTC)
            start = period_start(budget.period, moment) or _EVER
            key = counter_key(project, name, budget.period, moment)
            stored = self._spend(project, budget, int(start.timestamp()) * SECOND, now)
            spent, refused = self._raise(key, stored)
            view = BudgetView(
                project=project, name=name, budget=budget, start=start, spent=spent, refused=refused
            )
            told += tell_once(self.store, project, step_events(view, now))
            if project not in last:
                rows = last_states(self.store, project=project, kind="budget_step")
                last[project] = {row.dedup_key: row for row in rows}
            told += self._foresee(view, key, last[project].get(f"{view.key}:forecast"), moment, now)
        return told

    def _spend(self, project: str, budget: Budget, since: int, now: int) -> Decimal:
        return budget_spend(
            self.store, project=project, scope={**budget.scope}, covers=budget.covers, since=since, now=now
        )

    def _foresee(
        self, view: BudgetView, key: str, last: LastState | None, moment: datetime, now: int
    ) -> list[Event]:
        """Set the stage that gateways obey beside the counter, and tell a change of it."""
        budget = view.budget
        before: Stage = last.state if last and last.state in STAGES else ""
        end = period_end(budget.period, moment)
        if not budget.forecasts or end is None:
            if before:
                self.redis.hset(key, "stage", "")
            return []
        left = max(0, int(end.timestamp()) * SECOND - now)
        rates = [
            self._spend(view.project, budget, now - window, now) * HOUR / window
            for window in WINDOWS[budget.period]
        ]
        seen = forecast(view.spent, rates, left)
        stage = stage_of(budget, seen.expected, before)
        self.redis.hset(key, "stage", stage if stage != "warned" else "")
        if stage == before:
            return []
        told = forecast_events(view, seen, stage, now)
        insert_events(self.store, told)
        return told

    def _raise(self, key: str, stored: Decimal) -> tuple[Decimal, int]:
        """The gateway may have settled calls that the store has not yet, and the store knows calls that
        never passed a gateway: the larger is the truth, for a counter only rises within its period.
        """
        spent, refused = self.redis.eval(REBUILD, 2, key, MISSING, nano(stored))
        return dollars(int(spent)), int(refused)


def _step_words(budget: Budget, share: float) -> tuple[str, str]:
    """What the step is called, and its state in the trail: the strongest stage that begins there."""
    if budget.block_at is not None and share >= budget.block_at:
        return "is used up", "blocked"
    if budget.cache_only_at is not None and share >= budget.cache_only_at:
        return f"reached {share:.0%}: only the cache answers", "cache_only"
    if budget.cheaper_at is not None and share >= budget.cheaper_at:
        return f"reached {share:.0%}: calls go to {budget.cheaper_route}", "cheaper"
    return f"reached {share:.0%}", "reached"


def _message(view: BudgetView, state: str) -> str:
    share = view.spent / view.budget.amount
    told = f"{view.spent:.6f} of {view.budget.amount} USD spent ({share:.0%}) since {view.start.date()}"
    if state != "blocked":
        return told
    return f"{told}; calls that would pass {view.budget.block_at:.0%} are refused"
