"""Spend by day in; what a period will have cost at its end, with an interval, and when an amount is reached, out.

Structural models (a level that may drift, perhaps a slope, and the days of the week; Harvey 1989) are run by statsmodels'
state space over the logarithm of whole days, or the days themselves where some cost nothing, and weighed by their likelihood.
Their simulated futures give the interval of a sum, which single days' intervals do not. Below three weeks there is too little to fit: then days
are taken to be like those seen, and the interval says how little that is. It is a forecast of habit, not of plans.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import exp, log, sqrt
from statistics import fmean, stdev
from typing import Any, Literal

LEVEL = 0.9
"""Share of futures that end within the interval."""
FEWEST = 21
"""Whole days below which no model is fitted."""
LONGEST = 180
"""Whole days that are looked at: older habits are others."""
MOST_AHEAD = 400
_PATHS = 2000
_SEED = 20_260_501
_ZEROISH = 0.02
_DRIFTS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
"""Deviations of the level's daily steps, in those of the days around it."""
_BURN = 9
"""Days by which the level, the slope and the days of the week are known: their errors are no evidence."""
_NEGLIGIBLE = 0.005
_LEAST_NOISE = 1e-6

# Quantiles 0.95 of Student's t by degrees of freedom: the interval of few days is wide.
_T95 = (
    6.31,
    2.92,
    2.35,
    2.13,
    2.02,
    1.94,
    1.89,
    1.86,
    1.83,
    1.81,
    1.80,
    1.78,
    1.77,
    1.76,
    1.75,
    1.75,
    1.74,
    1.73,
    1.73,
    1.72,
)

Method = Literal["model", "days", "none"]
Period = Literal["day", "week", "month", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """One coming day: what all days from now to its end will have cost together, USD; the first is the rest of today."""

    day: date
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What comes after ``spent``. ``method`` says how much it rests on: ``days`` is a stopgap, ``none`` says nothing."""

    spent: Decimal
    method: Method
    days: int
    """Whole days of history it rests on."""
    ahead: tuple[Ahead, ...] = ()

    @property
    def at_end(self) -> float | None:
        """USD at the end, expected."""
        return float(self.spent) + self.ahead[-1].mean if self.ahead else None

    @property
    def low(self) -> float | None:
        """Lower end of the 90 % interval."""
        return float(self.spent) + self.ahead[-1].low if self.ahead else None

    @property
    def high(self) -> float | None:
        """Upper end of the 90 % interval."""
        return float(self.spent) + self.ahead[-1].high if self.ahead else None

    def reached(self, amount: Decimal, bound: Literal["mean", "low", "high"] = "mean") -> date | None:
        """The day on which the spend reaches an amount, expected; by ``high`` the earliest to fear. None: not ahead."""
        left = float(amount - self.spent)
        return next((entry.day for entry in self.ahead if getattr(entry, bound) >= left), None)


def period_of(period: str, now: datetime) -> tuple[datetime, datetime | None]:
    """Start and end of the running period, UTC: calendar day, week from Monday, calendar month; ``total`` has no end."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return today, today + timedelta(days=1)
    if period == "week":
        start = today - timedelta(days=today.weekday())
        return start, start + timedelta(days=7)
    if period == "month":
        start = today.replace(day=1)
        return start, (start + timedelta(days=32)).replace(day=1)
    return datetime(1970, 1, 1, tzinfo=UTC), None


def forecast(
    spent: Decimal, history: Sequence[Decimal], now: datetime, end: datetime, *, model: bool = True
) -> Forecast:
    """From what is spent in the period so far and what whole days before today cost, oldest first.

    ``end`` is the period's; at most ``MOST_AHEAD`` days are looked ahead. Days before the first spend do not count.
    ``model`` false keeps statsmodels out: it takes seconds to load and a tenth of a second to fit.
    """
    first = next((at for at, cost in enumerate(history) if cost > 0), len(history))
    whole = [float(cost) for cost in history[first:]][-LONGEST:]
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    left = end - today
    steps = min(-(-int(left.total_seconds()) // 86_400), MOST_AHEAD)
    if not whole or steps < 1:
        return Forecast(spent=spent, method="none", days=len(whole))
    share = 1 - (now - today) / timedelta(days=1)
    if model and len(whole) >= FEWEST:
        sums = _simulated(whole, steps, share)
        ahead = [_of(sums, at, today.date() + timedelta(days=at)) for at in range(steps)]
        return Forecast(spent=spent, method="model", days=len(whole), ahead=tuple(ahead))
    return Forecast(
        spent=spent, method="days", days=len(whole), ahead=_by_days(whole, steps, share, today.date())
    )


def _by_days(whole: Sequence[float], steps: int, share: float, today: date) -> tuple[Ahead, ...]:
    """Days like those seen, by day of the week where each was seen twice."""
    recent = list(whole)[-56:]
    by_weekday = [_weekday(recent, ahead) for ahead in range(steps)]
    errors = [
        cost - _weekday(recent[:at] + recent[at + 1 :], at - len(recent)) for at, cost in enumerate(recent)
    ]
    spread = stdev(errors) if len(recent) > 2 else max(recent)
    wide = _T95[min(len(recent), len(_T95)) - 1]
    found: list[Ahead] = []
    mean = weight = 0.0
    for at in range(steps):
        part = share if at == 0 else 1.0
        mean += part * by_weekday[at]
        weight += part
        # Days scatter around the mean, and the mean of few days is itself uncertain.
        half = wide * spread * sqrt(weight + weight**2 / len(recent))
        day = today + timedelta(days=at)
        found.append(Ahead(day=day, mean=mean, low=max(0.0, mean - half), high=mean + half))
    return tuple(found)


def _weekday(days: Sequence[float], ahead: int) -> float:
    """The mean of days of the same weekday; of all days below two weeks. ``ahead`` 0 is the day after the last."""
    if len(days) < 14:
        return fmean(days) if days else 0.0
    place = (len(days) + ahead) % 7
    return fmean(days[place % 7 :: 7])


def _of(sums: Any, at: int, day: date) -> Ahead:
    numpy: Any = importlib.import_module("numpy")
    tail = (1 - LEVEL) / 2
    low, high = numpy.quantile(sums[at], [tail, 1 - tail])
    return Ahead(day=day, mean=float(sums[at].mean()), low=float(low), high=float(high))


def _simulated(whole: Sequence[float], steps: int, share: float) -> Any:
    """Sums of futures: an array of steps x paths."""
    numpy: Any = importlib.import_module("numpy")
    days = numpy.asarray(whole, dtype=float)
    scale = float(numpy.median(days[days > 0]))
    logs = float(days.min()) > _ZEROISH * scale
    values = numpy.log(days / scale) if logs else days / scale
    rng = numpy.random.default_rng(_SEED)
    weighed = _weighed(values, numpy)
    paths = numpy.concatenate([_paths(one, len(days), steps, rng, numpy) for one in weighed], axis=1)
    paths = numpy.exp(numpy.minimum(paths, 20)) if logs else numpy.maximum(paths, 0)
    paths[0] *= share
    return numpy.cumsum(paths * scale, axis=0)


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A model with all parameters fixed, and how likely the days make it."""

    model: Any
    noise: float
    drift: float
    weight: float


def _weighed(values: Any, numpy: Any) -> list[_Weighed]:
    """Models that differ in how fast the level drifts and whether there is a slope, weighed by their likelihood.

    The drift of a short series is badly known; taking the likeliest one alone gives intervals that are too narrow.
    """
    structural: Any = importlib.import_module("statsmodels.tsa.statespace.structural")
    found: list[tuple[float, Any, float, float]] = []
    for slopes, level in enumerate(("llevel", "lldtrend")):
        model = structural.UnobservedComponents(values, level=level, seasonal=7, stochastic_seasonal=False)
        for drift in _DRIFTS:
            model.update([1.0, drift**2])
            filtered = model.ssm.filter()
            errors = filtered.forecasts_error[0, _BURN:]
            variances = filtered.forecasts_error_cov[0, 0, _BURN:]
            noise = max(float(numpy.mean(errors**2 / variances)), _LEAST_NOISE)
            likelihood = -0.5 * (float(numpy.sum(numpy.log(variances))) + len(errors) * log(noise))
            found.append((likelihood - slopes, model, noise, drift))
    best = max(likelihood for likelihood, *_ in found)
    whole = sum(exp(likelihood - best) for likelihood, *_ in found)
    weighed = [
        _Weighed(model, noise, drift, exp(likelihood - best) / whole)
        for likelihood, model, noise, drift in found
    ]
    return [one for one in weighed if one.weight > _NEGLIGIBLE]


def _paths(one: _Weighed, days: int, steps: int, rng: Any, numpy: Any) -> Any:
    """Futures of one model, as many as its weight is worth; wider by what a variance from few days may be off."""
    count = max(1, round(_PATHS * one.weight))
    one.model.update([one.noise, one.noise * one.drift**2])
    space = one.model.ssm
    filtered = space.filter()
    mean, spread = filtered.predicted_state[:, -1], filtered.predicted_state_cov[:, :, -1]
    values, vectors = numpy.linalg.eigh((spread + spread.T) / 2)
    root = vectors * numpy.sqrt(numpy.maximum(values, 0))
    state = mean[:, None] + root @ rng.standard_normal((len(mean), count))
    design, transition = space["design"][0], space["transition"]
    shocks = space["selection"] @ numpy.sqrt(space["state_cov"])
    paths = numpy.empty((steps, count))
    for step in range(steps):
        paths[step] = design @ state + rng.normal(0, sqrt(one.noise), count)
        state = transition @ state + shocks @ rng.standard_normal((shocks.shape[1], count))
    middle = paths.mean(axis=1, keepdims=True)
    freedom = max(3, days - _BURN)
    return middle + (paths - middle) * numpy.sqrt(freedom / rng.chisquare(freedom, count))
