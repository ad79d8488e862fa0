"""A route's quality rule in; each guard with its bound and its share of the level, and what it sees of a call, out. Pure.

Every metric becomes a mean of values in 0..1 where more is better, so that one test serves all:
a score as it is; the share of calls without error; the share of calls no slower than the limit, of which a percentile
p says how many there must be; and the saving on ``COST_REACH`` limits, dearer calls counting as just that dear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spanledger_collector.store.reads.loop import TrafficLimits, TrafficSecond
from spanledger_collector.store.registry.serving import Guard, QualityRule

COST_REACH = 4
_LEAST = 1e-4  # a bound of exactly 0 or 1 could never be tested
_PERCENTILE = re.compile(r"(latency|ttft)_p(\d{1,2})_s")
MARGIN_OF_SHARES = 0.05
MARGIN_OF_AMOUNTS = 0.25


@dataclass(frozen=True, slots=True)
class Observation:
    """The mean ``x`` (0..1, more is better) of ``n`` calls or scores, seen at ``time`` (ns)."""

    time: int
    x: float
    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A guard whose worst acceptable value is known: ``limit`` in the metric's unit, ``bound`` as a mean of ``x``."""

    guard: Guard
    alpha: float
    limit: float
    learned: bool = False

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.guard.metric

    @property
    def score(self) -> str:
        """The score's name; empty for other metrics."""
        kind, _, name = self.guard.metric.partition(":")
        return name if kind == "score" else ""

    @property
    def bound(self) -> float:
        """The least acceptable mean of ``x``."""
        if found := percentile_of(self.metric):
            return found[1]
        if self.metric == "cost_usd":
            return 1 - 1 / COST_REACH
        share = self.limit if self.score and self.guard.higher_is_better else 1 - self.limit
        return min(1 - _LEAST, max(_LEAST, share))

    def in_unit(self, x: float) -> float:
        """A mean of ``x`` as people read it: the score, the error rate, the share of slow calls, or USD a call."""
        if self.metric == "cost_usd":
            return (1 - x) * COST_REACH * self.limit
        return x if self.score and self.guard.higher_is_better else 1 - x

    def words(self) -> str:
        """What must hold, in words."""
        if found := percentile_of(self.metric):
            return f"{1 - found[1]:.0%} of calls may take longer than {self.limit:.4g} s ({found[0]})"
        if self.score:
            return f"the {'floor' if self.guard.higher_is_better else 'ceiling'} {self.limit:.4g}"
        return f"the limit {self.limit:.4g}"


def percentile_of(metric: str) -> tuple[str, float] | None:
    """``latency`` or ``ttft`` and the share of a percentile's name; None for another metric."""
    found = _PERCENTILE.fullmatch(metric)
    return (found[1], int(found[2]) / 100) if found else None


def level_of(rule: QualityRule) -> float:
    """Each guard's share of the route's level (Bonferroni): all tests together keep ``alpha``."""
    return rule.alpha / max(1, len(rule.all_guards))


def margin_of(guard: Guard) -> float:
    """The loss that would be accepted: absolute for scores and rates, a share of the baseline for amounts."""
    if guard.margin is not None:
        return guard.margin
    return MARGIN_OF_SHARES if guard.is_share else MARGIN_OF_AMOUNTS


def worst_accepted(guard: Guard, baseline: float) -> float:
    """The limit that a baseline and its margin make."""
    margin = margin_of(guard)
    if not guard.is_share:
        return baseline * (1 + margin)
    worse = -margin if guard.metric.startswith("score:") and guard.higher_is_better else margin
    return min(1.0, max(0.0, baseline + worse))


def stated(guard: Guard, alpha: float) -> Held | None:
    """The guard as its document bounds it; None where the baseline has to be learned."""
    if guard.limit is not None:
        return Held(guard=guard, alpha=alpha, limit=guard.limit)
    if guard.baseline is not None:
        return Held(guard=guard, alpha=alpha, limit=worst_accepted(guard, guard.baseline))
    return None


def limits_of(held: Sequence[Held]) -> TrafficLimits:
    """What has to be counted of the traffic for these guards."""
    slow: dict[str, tuple[float, ...]] = {"latency": (), "ttft": ()}
    cap = 0.0
    for one in held:
        if found := percentile_of(one.metric):
            slow[found[0]] += (one.limit,)
        elif one.metric == "cost_usd":
            cap = COST_REACH * one.limit
    return TrafficLimits(latency_s=slow["latency"], ttft_s=slow["ttft"], cost_cap_usd=cap)


def observed(one: Held, seconds: Sequence[TrafficSecond], limits: TrafficLimits) -> list[Observation]:
    """What each second of traffic says about a metric; seconds that say nothing are left out."""
    found: list[Observation] = []
    for second in seconds:
        bad, n = _bad_of(one, second, limits)
        if n:
            found.append(Observation(second.time, min(1.0, max(0.0, 1 - bad / n)), n))
    return found


def _bad_of(one: Held, second: TrafficSecond, limits: TrafficLimits) -> tuple[float, int]:
    """What counts against the metric, and out of how many calls."""
    if one.metric == "error_rate":
        return second.errors, second.calls
    if one.metric == "cost_usd":
        return second.cost_usd / max(limits.cost_cap_usd, 1e-12), second.priced
    found = percentile_of(one.metric)
    if found is None:
        raise ValueError(f"no traffic tells of {one.metric}")
    if found[0] == "latency":
        return second.slow[limits.latency_s.index(one.limit)], second.answered
    return second.slow_starts[limits.ttft_s.index(one.limit)], second.streamed
