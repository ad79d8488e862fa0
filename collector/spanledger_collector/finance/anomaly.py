"""Spend by day and by dimension in; days out of their weekday's habit, with the dimension that moved, out. Pure.

A day is expected to cost what its weekday does beside the others, at the level of the last four weeks; medians and the
median deviation keep single odd days out of the expectation. What moved is the dimension whose fewest values account for
most of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

FEWEST = 14
"""Whole days before the day that is judged."""
RECENT = 28
WEEKS = 8
_TO_DEVIATION = 1.4826  # of a median absolute deviation, to a standard one of a normal distribution
_TYPICAL_NOISE = 0.08
"""Days are never taken to be steadier than this share of what is expected."""
_WORTH_NAMING = Decimal("0.05")

Series = Mapping[date, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One value of one dimension: what it cost more (or less) than expected, and its share of the whole difference."""

    dimension: str
    value: str
    difference: Decimal
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A day that cost ``cost`` where ``expected`` was, ``score`` deviations away; ``moved``: the dearest cause first."""

    day: date
    cost: Decimal
    expected: Decimal
    low: Decimal
    high: Decimal
    score: float
    moved: tuple[Moved, ...] = ()

    @property
    def difference(self) -> Decimal:
        """USD above what was expected."""
        return self.cost - self.expected


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a day should cost, USD, and how far days scatter around it."""

    mean: float
    deviation: float


def expectation(series: Series, day: date, part: float = 1.0) -> Expectation | None:
    """What days before ``day`` let expect; None for fewer than ``FEWEST``. ``part``: the share of the day that has passed."""
    first = min(series, default=day)
    known = [day - timedelta(days=back) for back in range(1, WEEKS * 7 + 1)]
    days = [at for at in known if at >= first]
    if len(days) < FEWEST:
        return None
    cost = {at: float(series.get(at, 0)) for at in days}
    factors = _weekdays(cost)
    recent = [at for at in days[:RECENT] if factors[at.weekday()] > 0]
    level = median([cost[at] / factors[at.weekday()] for at in recent]) if recent else 0.0
    expected = level * factors[day.weekday()]
    errors = [abs(cost[at] - level * factors[at.weekday()]) for at in days[:RECENT]]
    deviation = max(_TO_DEVIATION * median(errors), _TYPICAL_NOISE * expected)
    return Expectation(expected * part, deviation * part**0.5)


def _weekdays(cost: Mapping[date, float]) -> list[float]:
    """Each weekday beside the mean of all; 1 where a weekday was seen once or nothing was spent."""
    by_day: list[list[float]] = [[] for _ in range(7)]
    for at, amount in cost.items():
        by_day[at.weekday()].append(amount)
    middles = [median(seen) if seen else 0.0 for seen in by_day]
    whole = sum(middles) / 7
    return [middle / whole if whole > 0 else 1.0 for middle in middles]


def judge(
    total: Series,
    by: Mapping[str, Mapping[str, Series]],
    day: date,
    *,
    threshold: float = 4.0,
    least: Decimal = Decimal(1),
) -> Anomaly | None:
    """Whether a whole day is out of habit: ``threshold`` deviations and ``least`` USD away from what was expected.

    ``by``: dimension, value, its cost by day. None for a normal day, or when too little is known.
    """
    known = expectation(total, day)
    if known is None:
        return None
    cost = total.get(day, Decimal(0))
    away = float(cost) - known.mean
    if known.deviation <= 0:
        score = 0.0 if abs(away) < float(least) else float("inf") * (1 if away > 0 else -1)
    else:
        score = away / known.deviation
    if abs(score) < threshold or abs(away) < float(least):
        return None
    expected = _money(known.mean)
    half = threshold * known.deviation
    return Anomaly(
        day=day,
        cost=cost,
        expected=expected,
        low=max(Decimal(0), _money(known.mean - half)),
        high=_money(known.mean + half),
        score=score,
        moved=what_moved(by, day, cost - expected),
    )


def what_moved(by: Mapping[str, Mapping[str, Series]], day: date, difference: Decimal) -> tuple[Moved, ...]:
    """The dimension that explains a difference best, its values dearest first (three at most).

    Best is the dimension whose single value stands out most: it accounts for the difference, and the dimension's other
    values kept their habit. Of equals the first given wins, so give the ones people act on first.
    """
    scored = [
        (_standing_out(values, day, difference), name) for name, values in by.items() if len(values) > 1
    ]
    if not scored:
        return ()
    best = max(score for score, _ in scored)
    name = next(name for score, name in scored if score >= best - 0.05)
    moves = sorted(_moves(by[name], day).items(), key=lambda move: -abs(move[1]))
    return tuple(
        Moved(
            dimension=name, value=value, difference=gap, share=float(gap / difference) if difference else 0.0
        )
        for value, gap in moves[:3]
        if gap * difference > 0 and abs(gap) >= abs(difference) * _WORTH_NAMING
    )


def _moves(values: Mapping[str, Series], day: date) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for value, series in values.items():
        known = expectation(series, day)
        expected = _money(known.mean) if known else Decimal(0)
        found[value] = series.get(day, Decimal(0)) - expected
    return found


def _standing_out(values: Mapping[str, Series], day: date, difference: Decimal) -> float:
    """1 when one value moved by the whole difference and no other did; near 0 when all moved alike."""
    moves = [float(gap) for gap in _moves(values, day).values()]
    whole = sum(abs(gap) for gap in moves)
    if not whole or not difference:
        return 0.0
    greatest = max(moves, key=lambda gap: gap if difference > 0 else -gap)
    likeness = 1 - min(1.0, abs(greatest - float(difference)) / abs(float(difference)))
    return likeness * abs(greatest) / whole


def _money(value: float) -> Decimal:
    return Decimal(str(round(value, 9)))


def days_of(rows: Sequence[tuple[date, Decimal]]) -> dict[date, Decimal]:
    """A series from rows; days told twice add up."""
    found: dict[date, Decimal] = {}
    for day, cost in rows:
        found[day] = found.get(day, Decimal(0)) + cost
    return found
