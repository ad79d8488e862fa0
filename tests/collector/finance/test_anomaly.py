"""A day out of habit is noticed, an ordinary weekend is not, and what moved is named; budgets that burn too fast are told."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

from spanledger_collector.finance.anomaly import Series, judge
from spanledger_collector.finance.burn import burning, gravest, windows
from tests.benchmarks.finance.habits import WEEK

MONDAY = date(2026, 5, 4)
MONTH_S = 30 * 86_400


def series(weeks: int, size: float, seed: int = 1, spread: float = 0.05) -> dict[date, Decimal]:
    chance = random.Random(seed)
    return {
        MONDAY + timedelta(days=at): Decimal(str(round(size * WEEK[at % 7] * chance.gauss(1, spread), 6)))
        for at in range(weeks * 7)
    }


def total(*parts: Series) -> dict[date, Decimal]:
    return {day: sum((part[day] for part in parts), Decimal(0)) for day in parts[0]}


def test_ordinary_weeks_raise_nothing() -> None:
    days = series(20, 100)

    odd = [day for day in list(days)[28:] if judge(days, {}, day)]

    assert odd == []


def test_a_doubled_day_is_told_with_the_dimension_that_moved() -> None:
    support, search = series(8, 60, 1), series(8, 40, 2)
    day = max(support)
    moved = support | {day: support[day] * 4}
    whole = total(moved, search)
    half = {at: cost / 2 for at, cost in whole.items()}
    by = {"model": {"gpt-5": half, "o3": half}, "team": {"support": moved, "search": search}}

    told = judge(whole, by, day)

    assert told is not None
    assert [(part.dimension, part.value) for part in told.moved] == [("team", "support")]
    assert 0.8 < told.moved[0].share < 1.2
    assert told.score > 4
    assert told.high < told.cost
    assert abs(told.difference - support[day] * 3) < 30


def test_a_quiet_weekend_is_no_anomaly_and_a_quiet_tuesday_is_one() -> None:
    days = series(8, 100)
    sunday, tuesday = max(days), max(days) - timedelta(days=5)

    assert judge(days, {}, sunday) is None
    told = judge(days | {tuesday: Decimal("5")}, {}, tuesday)
    assert told is not None
    assert told.score < 0


def test_too_little_history_and_small_sums_say_nothing() -> None:
    days = series(2, 100)
    pennies = series(8, 0.01)

    assert judge(days, {}, min(days) + timedelta(days=10)) is None
    assert judge(pennies | {max(pennies): Decimal("0.5")}, {}, max(pennies)) is None


def test_a_budget_that_burns_in_both_windows_is_told_with_its_rate() -> None:
    amount = Decimal(720)  # a dollar an hour lasts the month

    fast = burning(lambda seconds: Decimal(20) * seconds / 3600, amount, MONTH_S)
    assert [round(burn.rate) for burn in fast] == [20, 20, 20]
    assert gravest(fast) is fast[0]
    assert fast[0].severity == "critical"
    slow = burning(lambda seconds: Decimal("1.5") * seconds / 3600, amount, MONTH_S)
    assert [burn.window_s for burn in slow] == [3 * 86_400]


def test_what_burnt_an_hour_ago_and_stopped_is_not_told() -> None:
    def spent_in(seconds: int) -> Decimal:
        return Decimal(30) if seconds >= 3600 else Decimal(0)

    assert burning(spent_in, Decimal(720), MONTH_S) == []
    assert burning(spent_in, Decimal(0), MONTH_S) == []


def test_windows_shrink_with_the_period() -> None:
    assert windows(MONTH_S) == [(3600, 300), (21600, 1800), (259200, 21600)]
    assert all(long <= 86_400 // 10 for long, _ in windows(86_400))
