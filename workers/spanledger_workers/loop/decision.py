"""When a route leaves its primary and when it returns: state and scores in, a decision out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spanledger_collector.store.reads.evaluation import TimedScore
from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_workers.clock import seconds

State = Literal["primary", "fallback"]
FEWEST_PROBES = 5
PROBES_PER_SAMPLE = 0.5  # a return needs half the scores that a switch needs


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """Where a route sends its calls, and since when (ns; 0: always)."""

    state: State = "primary"
    since: int = 0
    reason: str = ""
    event_id: str = ""
    canary: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A change of state with the evidence for it: ``samples`` scores with mean ``mean``."""

    to: State
    reason: str
    samples: int
    mean: float
    floor: float


def primary_scores(route: Route, scores: Sequence[TimedScore]) -> list[TimedScore]:
    """The scores of answers that came from one of the route's primary targets."""
    primaries = {(target.upstream, target.model) for target in route.targets if target.role == "primary"}
    return [score for score in scores if (score.upstream, score.request_model) in primaries]


def look_from(state: RouteState, rule: QualityRule, now: int) -> int:
    """The earliest start (ns) of calls whose scores count towards the next decision."""
    if state.state == "primary":
        return max(now - seconds(rule.window_s), state.since)
    return state.since + seconds(rule.cooldown_s)


def probes_needed(rule: QualityRule) -> int:
    """How many scores of canary calls a return takes."""
    return max(FEWEST_PROBES, round(rule.min_samples * PROBES_PER_SAMPLE))


def decide(state: RouteState, rule: QualityRule, scores: Sequence[TimedScore]) -> Decision | None:
    """The change that the primary's scores call for, or None. ``scores``: since ``look_from``, newest first."""
    if state.state == "primary":
        mean = _mean(scores)
        if len(scores) < rule.min_samples or mean >= rule.floor:
            return None
        reason = f"mean {rule.score} {mean:.3f} over {len(scores)} answers is below the floor {rule.floor:g}"
        return Decision(to="fallback", reason=reason, samples=len(scores), mean=mean, floor=rule.floor)
    needed = probes_needed(rule)
    newest = scores[:needed]
    if len(newest) < needed or _mean(newest) < rule.floor:
        return None
    mean = _mean(newest)
    reason = f"mean {rule.score} {mean:.3f} over {needed} probes is at or above the floor {rule.floor:g}"
    return Decision(to="primary", reason=reason, samples=needed, mean=mean, floor=rule.floor)


def has_fallback(route: Route) -> bool:
    """Whether there is anywhere else to go."""
    return any(target.role == "fallback" for target in route.targets)


def _mean(scores: Sequence[TimedScore]) -> float:
    return sum(score.value for score in scores) / len(scores) if scores else float("nan")
