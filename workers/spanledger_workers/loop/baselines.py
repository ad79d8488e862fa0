"""A guard without a stated bound: the primary's first calls or scores in; the accepted baseline and its limit out.

What was learned is uncertain, so the limit starts at the worst end of the baseline's interval, at half of the
guard's level; the test gets the other half. Together the level holds however few calls the baseline was learned from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from spanledger_collector.store.reads.loop import Attempt
from spanledger_collector.store.registry.serving import Guard
from spanledger_evaluators.stats.distributions import normal_quantile
from spanledger_evaluators.stats.sequential import confidence_sequence

from .guards import Held, percentile_of, worst_accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What was accepted: the metric's ``value`` over ``samples``, and ``worst``, the bad end of its interval.

    ``targets`` names the primary it was learned of; another primary needs another baseline. ``until`` (ns): when.
    """

    metric: str
    value: float
    worst: float
    samples: int
    targets: str
    until: int

    def held(self, guard: Guard, alpha: float) -> Held:
        """The guard with the limit that this baseline and its margin make; half of ``alpha`` is spent on it."""
        return Held(guard=guard, alpha=alpha / 2, limit=worst_accepted(guard, self.worst), learned=True)

    def to_json(self) -> str:
        """For the evidence of an event."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def from_json(cls, text: str) -> Baseline | None:
        """What ``to_json`` wrote; None for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**values)
        except (ValueError, TypeError):
            return None


def learn_score(guard: Guard, values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Mean and worst plausible mean of scores in 0..1, at ``alpha`` on that side (betting interval)."""
    interval = confidence_sequence(list(values), alpha=2 * alpha)
    return interval.value, interval.low if guard.higher_is_better else interval.high


def learn_traffic(guard: Guard, attempts: Sequence[Attempt], alpha: float) -> tuple[float, float] | None:
    """Value and worst plausible value of a metric of the traffic; None where nothing tells of it."""
    if guard.metric == "error_rate":
        errors = sum(not one.ok for one in attempts)
        return errors / len(attempts), highest_rate(errors, len(attempts), alpha)
    found = percentile_of(guard.metric)
    if found is not None:
        values = [one.duration_s if found[0] == "latency" else one.ttft_s for one in attempts if one.ok]
        return highest_quantile([value for value in values if value is not None], found[1], alpha)
    costs = [one.cost_usd for one in attempts if one.ok and one.cost_usd is not None]
    if len(costs) < 2 or fmean(costs) <= 0:
        return None
    # Approximate: costs have no greatest value, so no interval without assumptions exists.
    return fmean(costs), fmean(costs) + normal_quantile(1 - alpha) * stdev(costs) / math.sqrt(len(costs))


def highest_rate(successes: int, n: int, alpha: float) -> float:
    """The greatest rate that ``successes`` of ``n`` leave plausible (Clopper and Pearson 1934, one side)."""
    from scipy import special  # late: only while a baseline is learned

    functions: Any = special
    return 1.0 if successes >= n else float(functions.betaincinv(successes + 1, n - successes, 1 - alpha))


def highest_quantile(values: Sequence[float], share: float, alpha: float) -> tuple[float, float] | None:
    """A quantile and its upper limit by order statistics (binomial, free of any distribution); None for no values."""
    if not values:
        return None
    from scipy import stats  # late: only while a baseline is learned

    functions: Any = stats
    ordered, n = sorted(values), len(values)
    rank = int(functions.binom.ppf(1 - alpha, n, share)) + 1
    at = min(n - 1, max(0, math.ceil(share * n) - 1))
    return ordered[at], ordered[min(n, rank) - 1]
