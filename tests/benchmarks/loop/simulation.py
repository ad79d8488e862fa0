"""The loop's promises by simulation: the very monitor and levels that decide in a worker, over many routes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spanledger_collector.store.registry.serving import QualityRule
from spanledger_evaluators.stats.drops import Array
from spanledger_workers.loop.baselines import learn_score
from spanledger_workers.loop.guards import Held, level_of, stated, worst_accepted
from spanledger_workers.loop.monitor import Monitor

Draw = Callable[[int], Array]
"""One value for each stream at a step."""

ACCEPTED = QualityRule.model_validate(
    {"guards": [{"metric": "score:groundedness", "baseline": 0.85, "margin": 0.05}]}
)
LEARNED = QualityRule.model_validate({"guards": [{"metric": "score:groundedness"}]})


@dataclass(frozen=True, slots=True)
class World:
    """How scores of a given mean fall."""

    name: str
    spread: float  # 0: right or wrong

    def draw(self, rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Array:
        """Scores in 0..1 of about this mean."""
        if not self.spread:
            return (rng.random(shape) < mean).astype(np.float64)
        strength = mean * (1 - mean) / self.spread**2 - 1  # a beta distribution has exactly this mean
        return rng.beta(mean * strength, (1 - mean) * strength, shape)


BINARY, GRADED = World("right or wrong", 0.0), World("graded", 0.2)


def held_by(rule: QualityRule) -> Held:
    """The rule's only guard, its bound stated."""
    (guard,) = rule.all_guards
    held = stated(guard, level_of(rule))
    assert held is not None
    return held


def first_switch(monitor: Monitor, alpha: float, values: Array) -> Array:
    """At which step (from 1) each stream leaves its primary when it is looked at after every score; 0 for never."""
    steps, streams = values.shape
    left = np.zeros(streams)
    for step in range(steps):
        monitor.step(values[step])
        left = np.where((left == 0) & monitor.fell(alpha), step + 1, left)
        if left.all():
            break
    return left


def delays(world: World, *, good: float, bad: float, before: int, streams: int, seed: int) -> Array:
    """Judged calls from the drop to the switch, for routes that were good for ``before`` calls; false ones left out."""
    rng = np.random.default_rng(seed)
    held = held_by(ACCEPTED)
    monitor = Monitor(held.bound, ACCEPTED.min_samples, streams)
    early = first_switch(monitor, held.alpha, world.draw(rng, good, (before, streams)))
    late = first_switch(monitor, held.alpha, world.draw(rng, bad, (2000, streams)))
    return late[early == 0]


def false_share(world: World, *, mean: float, days: int, per_day: int, runs: int, seed: int) -> float:
    """The share of runs that ever leave a primary whose scores have this mean all the time."""
    rng = np.random.default_rng(seed)
    held = held_by(ACCEPTED)
    monitor = Monitor(held.bound, ACCEPTED.min_samples, runs)
    gone = np.zeros(runs, dtype=np.bool_)
    for _ in range(days):
        gone |= first_switch(monitor, held.alpha, world.draw(rng, mean, (per_day, runs))) > 0
    return float(gone.mean())


def false_share_learned(world: World, *, mean: float, steps: int, runs: int, seed: int) -> float:
    """The same where the baseline was learned from the first calls, with what that costs in level; the worst case:
    the scores then lie a whole margin below the true baseline."""
    rng = np.random.default_rng(seed)
    (guard,) = LEARNED.all_guards
    alpha = level_of(LEARNED) / 2
    learned = world.draw(rng, mean, (guard.baseline_samples, runs))
    bounds = [
        worst_accepted(guard, learn_score(guard, learned[:, run].tolist(), alpha)[1]) for run in range(runs)
    ]
    monitor = Monitor(np.array(bounds), LEARNED.min_samples, runs)
    gone = first_switch(monitor, alpha, world.draw(rng, mean - 0.05, (steps, runs)))
    return float((gone > 0).mean())
