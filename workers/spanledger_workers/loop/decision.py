"""When a route leaves its primary and when it returns: state, rule and evidence in, a decision out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spanledger_collector.store.reads.evaluation import TimedScore
from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_workers.clock import seconds

from .evidence import Evidence

State = Literal["primary", "fallback"]
FEWEST_PROBES = 5
PROBES_PER_SAMPLE = 0.5  # a return needs at least half the scores that a switch needs
RETURN_ALPHA = 0.2  # a return that was too early is undone by the next switch


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
    """A change of state with its evidence; ``e_value`` None for a change by hand."""

    to: State
    reason: str
    samples: int = 0
    mean: float | None = None
    floor: float | None = None
    e_value: float | None = None


def is_primary(route: Route, score: TimedScore) -> bool:
    """Whether the scored answer came from one of the route's primary targets."""
    return any(
        (target.upstream, target.model) == (score.upstream, score.request_model)
        for target in route.targets
        if target.role == "primary"
    )


def begin(state: RouteState, rule: QualityRule) -> Evidence:
    """The evidence to collect in this state: for a drop on the primary, for recovery on the fallback."""
    rising = state.state == "fallback"
    return Evidence.begun(
        floor=rule.floor,
        rising=rising,
        keep=probes_needed(rule) if rising else rule.min_samples,
        since=state.since + (seconds(rule.cooldown_s) if rising else 0),
        signature=signature(state, rule),
    )


def signature(state: RouteState, rule: QualityRule) -> str:
    """Changes whenever evidence has to be collected afresh: another state, or another rule."""
    return f"{state.state}:{state.since}:{rule.score}:{rule.floor}:{rule.min_samples}:{rule.cooldown_s}"


def probes_needed(rule: QualityRule) -> int:
    """The fewest scores of canary calls that a return takes."""
    return max(FEWEST_PROBES, round(rule.min_samples * PROBES_PER_SAMPLE))


def decide(
    state: RouteState, rule: QualityRule, evidence: Evidence, *, now: int, switches_today: int
) -> Decision | None:
    """The change that is called for, or None.

    Away from the primary: the drop below the floor is proven at ``alpha``, the latest ``min_samples``
    scores lie below it on average, and there was a score within ``window_s``. Back: recovery is proven
    at RETURN_ALPHA by calls that started after the cooldown, unless the route switched too often today.
    """
    if rule.mode in ("primary", "fallback"):
        if state.state == rule.mode:
            return None
        return Decision(
            to="primary" if rule.mode == "primary" else "fallback", reason="held there by its document"
        )
    if state.state == "primary":
        return _leave(rule, evidence, now)
    return _return(rule, evidence) if switches_today < rule.max_switches_per_day else None


def has_fallback(route: Route) -> bool:
    """Whether there is anywhere else to go."""
    return any(target.role == "fallback" for target in route.targets)


def only_primary(route: Route, scores: Sequence[TimedScore]) -> list[TimedScore]:
    """The scores that say something about the primary."""
    return [score for score in scores if is_primary(route, score)]


def _leave(rule: QualityRule, evidence: Evidence, now: int) -> Decision | None:
    fresh = now - evidence.newest_at <= seconds(rule.window_s)
    enough = len(evidence.newest) >= rule.min_samples
    if not (fresh and enough and evidence.recent_mean < rule.floor and evidence.test.rejects(rule.alpha)):
        return None
    reason = (
        f"mean {rule.score} {evidence.recent_mean:.3f} over the latest {len(evidence.newest)} answers is below"
        f" the floor {rule.floor:g}, beyond chance (e = {evidence.test.e_value:.0f})"
    )
    return _decision("fallback", reason, evidence)


def _return(rule: QualityRule, evidence: Evidence) -> Decision | None:
    enough = len(evidence.newest) >= probes_needed(rule)
    if not (enough and evidence.recent_mean >= rule.floor and evidence.test.rejects(RETURN_ALPHA)):
        return None
    reason = (
        f"mean {rule.score} {evidence.recent_mean:.3f} over the latest {len(evidence.newest)} probes is above"
        f" the floor {rule.floor:g}, beyond chance (e = {evidence.test.e_value:.0f})"
    )
    return _decision("primary", reason, evidence)


def _decision(to: State, reason: str, evidence: Evidence) -> Decision:
    return Decision(
        to=to,
        reason=reason,
        samples=evidence.samples,
        mean=evidence.recent_mean,
        floor=evidence.floor,
        e_value=evidence.test.e_value,
    )
