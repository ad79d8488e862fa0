"""Months of spend by day from processes that are known, to see how often the truth lies within the interval."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp

WEEK = (1.2, 1.3, 1.25, 1.2, 1.1, 0.5, 0.4)
OFFICE = (1.2, 1.3, 1.25, 1.2, 1.1, 0.0, 0.0)

Habit = Callable[[random.Random, int], list[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is known at ``now``, and what the month will have cost at ``end``."""

    now: datetime
    end: datetime
    history: list[Decimal]
    spent: Decimal
    truth: Decimal


def steady(chance: random.Random, days: int) -> list[float]:
    """The same weeks, each day off by a factor."""
    return [100 * WEEK[at % 7] * chance.lognormvariate(0, 0.15) for at in range(days)]


def drifting(chance: random.Random, days: int) -> list[float]:
    """A level that wanders by some percent a day."""
    level, found = 0.0, list[float]()
    for at in range(days):
        level += chance.gauss(0, 0.03)
        found.append(80 * exp(level) * WEEK[at % 7] * chance.lognormvariate(0, 0.1))
    return found


def growing(chance: random.Random, days: int) -> list[float]:
    """One percent more each day."""
    return [20 * 1.01**at * WEEK[at % 7] * chance.lognormvariate(0, 0.2) for at in range(days)]


def office(chance: random.Random, days: int) -> list[float]:
    """Nothing on weekends, and days that scatter additively."""
    return [max(0.0, 60 * OFFICE[at % 7] + (OFFICE[at % 7] > 0) * chance.gauss(0, 12)) for at in range(days)]


HABITS: dict[str, Habit] = {"steady": steady, "drifting": drifting, "growing": growing, "office": office}


def case(habit: Habit, seed: int) -> Case:
    """One month of a habit, seen from a moment within it."""
    chance = random.Random(seed)
    start = datetime(2026, 5, 1, tzinfo=UTC)
    before = chance.randrange(35, 150)
    days = habit(chance, before + 31)
    passed = chance.randrange(2, 26)
    hours = chance.randrange(24)
    month = [Decimal(str(round(cost, 6))) for cost in days]
    share = Decimal(hours) / 24
    known = month[: before + passed]
    today = month[before + passed]
    return Case(
        now=start + timedelta(days=passed, hours=hours),
        end=start + timedelta(days=31),
        history=known,
        spent=sum(month[before : before + passed], Decimal(0)) + today * share,
        truth=sum(month[before:], Decimal(0)),
    )
