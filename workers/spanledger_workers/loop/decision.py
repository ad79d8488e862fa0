"""When a route leaves its primary and when it returns: state, rule and evidence in, decisions out. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_workers.clock import seconds

from .evidence import Evidence
from .guards import Held
from .monitor import probes_needed

State = Literal["primary", "fallback"]
Change = Literal["fallback", "primary", "previous_prompt", "alert", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """Where a route sends its calls, and since when (ns; 0: always). ``metric``: what made it leave its primary."""

    state: State = "primary"
    since: int = 0
    reason: str = ""
    event_id: str = ""
    canary: float = 0.0
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A change with its evidence. ``metric`` is empty and ``held`` None for a change by hand."""

    to: Change
    reason: str
    metric: str = ""
    held: Held | None = None
    samples: int = 0
    mean: float | None = None
    e_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One guard with its evidence; ``firing_since``: when its alert began to fire (ns), 0 for not."""

    held: Held
    evidence: Evidence
    firing_since: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be done now. ``why_not``: why the route cannot be moved, empty where it can. ``prompts``: metrics whose
    guard can return to a previous prompt. ``switches_today``: how often the route left its primary.
    """

    why_not: str = ""
    prompts: frozenset[str] = frozenset()
    switches_today: int = 0


def options_of(route: Route, rule: QualityRule) -> Options:
    """What the documents allow."""
    if rule.mode == "dry_run":
        return Options(why_not="this is a dry run")
    if rule.mode in ("frozen", "primary"):
        return Options(why_not=f"its document says {rule.mode}")
    if not has_fallback(route):
        return Options(why_not="it has no fallback")
    return Options()


def has_fallback(route: Route) -> bool:
    """Whether there is anywhere else to go."""
    return any(target.role == "fallback" for target in route.targets)


def primaries(route: Route) -> list[tuple[str, str]]:
    """Upstream and model of each primary target."""
    return [(target.upstream, target.model) for target in route.targets if target.role == "primary"]


def begin(
    state: RouteState, rule: QualityRule, held: Held, *, firing_since: int = 0, known_since: int = 0
) -> Evidence:
    """The evidence to collect now. Calls count that started after the last change, and on a fallback or below a firing
    alert after the cooldown, so that the recovery is of what is there now; and after the baseline was accepted.
    """
    changed = max(state.since, firing_since)
    waits = state.state == "fallback" or firing_since > 0
    since = max(known_since, changed + (seconds(rule.cooldown_s) if waits else 0))
    parts = (state.state, state.since, firing_since, held.metric, f"{held.limit:.12g}", rule.min_samples)
    signature = ":".join(map(str, (*parts, rule.cooldown_s, known_since)))
    return Evidence.begun(held, min_samples=rule.min_samples, since=since, signature=signature)


def decide(
    state: RouteState, rule: QualityRule, watched: Sequence[Watched], options: Options, *, now: int
) -> list[Decision]:
    """The changes that are called for: at most one of the route's state, and alerts.

    Away from the primary: a guard's drop is proven at its share of ``alpha``, the latest ``min_samples`` lie below its
    bound on average, and there was a call within ``window_s``. Back: the recovery of what fell is proven at RETURN_ALPHA
    by calls that started after the cooldown, no other guard's latest probes lie below its bound, and the route did not
    switch too often today.
    """
    if rule.mode in ("primary", "fallback") and state.state != rule.mode:
        to: Change = "primary" if rule.mode == "primary" else "fallback"
        return [Decision(to=to, reason="held there by its document")]
    if state.state == "fallback":
        stays = rule.mode != "auto" or options.switches_today >= rule.max_switches_per_day
        return [] if stays else _return(state, rule, watched)
    return _on_primary(rule, watched, options, now)


def _on_primary(rule: QualityRule, watched: Sequence[Watched], options: Options, now: int) -> list[Decision]:
    told: list[Decision] = []
    for one in watched:
        if _fell(rule, one, now):
            change = _action(one, options)
            if change == "alert" and one.firing_since:
                continue  # it is known
            decision = _decision(change, rule, one, _left_words(rule, one), rule.min_samples)
            if change in ("fallback", "previous_prompt"):
                return [*told, decision]
            told.append(decision)
        elif one.firing_since and one.evidence.monitor.recovered()[0]:
            probes = probes_needed(rule.min_samples)
            told.append(_decision("resolved", rule, one, _back_words(rule, one), probes))
    return told


def _action(one: Watched, options: Options) -> Change:
    wanted = one.held.guard.action
    if wanted == "alert":
        return "alert"
    if wanted == "previous_prompt" and one.held.metric in options.prompts:
        return "previous_prompt"
    return "alert" if options.why_not else "fallback"


def _fell(rule: QualityRule, one: Watched, now: int) -> bool:
    fresh = now - one.evidence.newest_at <= seconds(rule.window_s)
    return fresh and bool(one.evidence.monitor.fell(one.held.alpha)[0])


def _return(state: RouteState, rule: QualityRule, watched: Sequence[Watched]) -> list[Decision]:
    # Moved by hand, or by a guard that is gone: everything has to hold.
    causes = [one for one in watched if one.held.metric == state.metric] or list(watched)
    if not causes or not all(one.evidence.monitor.recovered()[0] for one in causes):
        return []
    if any(_looks_bad(rule, one) for one in watched):
        return []
    return [
        _decision("primary", rule, causes[0], _back_words(rule, causes[0]), probes_needed(rule.min_samples))
    ]


def _looks_bad(rule: QualityRule, one: Watched) -> bool:
    probes = probes_needed(rule.min_samples)
    moves = one.held.guard.action != "alert"
    return moves and one.evidence.samples >= probes and one.evidence.recent(probes) < one.held.bound


def _left_words(rule: QualityRule, one: Watched) -> str:
    e_value = _e_value(one.evidence, rising=False)
    return f"{_mean_words(one, rule.min_samples, 'answers')} is worse than {one.held.words()}, beyond chance (e = {e_value:.0f})"


def _back_words(rule: QualityRule, one: Watched) -> str:
    e_value, probes = _e_value(one.evidence, rising=True), probes_needed(rule.min_samples)
    return f"{_mean_words(one, probes, 'probes')} is within {one.held.words()}, beyond chance (e = {e_value:.0f})"


def _mean_words(one: Watched, wanted: int, what: str) -> str:
    mean = one.held.in_unit(one.evidence.recent(wanted))
    name = f"mean {one.held.score}" if one.held.score else one.held.metric
    if one.held.metric not in ("cost_usd", "error_rate") and not one.held.score:
        name = "share of slow calls"
    return f"{name} {mean:.4g} over the latest {min(wanted, one.evidence.samples)} {what}"


def _decision(to: Change, rule: QualityRule, one: Watched, reason: str, wanted: int) -> Decision:
    mean = one.held.in_unit(one.evidence.recent(wanted))
    return Decision(
        to=to,
        reason=reason,
        metric=one.held.metric,
        held=one.held,
        samples=one.evidence.samples,
        mean=None if math.isnan(mean) else mean,
        e_value=_e_value(one.evidence, rising=to in ("primary", "resolved")),
    )


def _e_value(evidence: Evidence, *, rising: bool) -> float:
    test = evidence.monitor.rise if rising else evidence.monitor.fall
    return math.exp(min(700.0, float(test.log_e[0])))
