"""When a route is moved: quickly for a real drop, hardly ever for none, and never back and forth."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from spanledger_collector.store.reads.evaluation import TimedScore
from spanledger_collector.store.registry.serving import Guard, QualityRule, Route, Target
from spanledger_workers.loop.collecting import whole_moments
from spanledger_workers.loop.decision import (
    Decision,
    Options,
    RouteState,
    Watched,
    begin,
    decide,
    options_of,
    primaries,
)
from spanledger_workers.loop.evidence import Evidence
from spanledger_workers.loop.guards import Held, Observation, level_of, stated

SECOND = 1_000_000_000
NOW = 2001 * SECOND
RULE = QualityRule(score="groundedness", floor=0.7, min_samples=20, cooldown_s=60, window_s=300)
ON_PRIMARY = RouteState()
ON_FALLBACK = RouteState(state="fallback", since=1000 * SECOND, metric="score:groundedness")
TWO = QualityRule(
    guards=[
        Guard(metric="score:groundedness", limit=0.7),
        Guard(metric="error_rate", limit=0.1),
    ],
    min_samples=20,
)


def observed(values: Sequence[float], start: int = 2000 * SECOND) -> list[Observation]:
    return [Observation(start + index, value) for index, value in enumerate(values)]


def answers(rng: random.Random, mean: float, n: int) -> list[float]:
    return [min(1.0, max(0.0, rng.gauss(mean, 0.2))) for _ in range(n)]


def held_by(rule: QualityRule) -> list[Held]:
    found = [stated(guard, level_of(rule)) for guard in rule.all_guards]
    return [one for one in found if one is not None]


def watched(
    state: RouteState, rule: QualityRule, *values: Sequence[float], firing_since: int = 0
) -> list[Watched]:
    """Each guard with its values of ``x``."""
    return [
        Watched(
            held=held,
            evidence=begin(state, rule, held).with_observations(observed(seen), 3000 * SECOND),
            firing_since=firing_since,
        )
        for held, seen in zip(held_by(rule), values, strict=True)
    ]


def verdict(
    state: RouteState, values: Sequence[float], rule: QualityRule = RULE, options: Options | None = None
) -> Decision | None:
    found = decide(state, rule, watched(state, rule, values), options or Options(), now=NOW)
    assert len(found) <= 1
    return found[0] if found else None


def test_a_drop_from_85_to_60_moves_the_route_within_100_answers_at_median() -> None:
    delays: list[int] = []
    (held,) = held_by(RULE)
    for seed in range(15):
        rng = random.Random(seed)
        evidence = begin(ON_PRIMARY, RULE, held).with_observations(observed(answers(rng, 0.85, 200)), 1)
        delay = 0
        one = Watched(held=held, evidence=evidence)
        while not decide(ON_PRIMARY, RULE, [one], Options(), now=NOW) and delay < 2000:
            evidence = evidence.with_observations(observed(answers(rng, 0.60, 5)), 1)
            one = Watched(held=held, evidence=evidence)
            delay += 5
        delays.append(delay)
    assert sorted(delays)[7] <= 100, sorted(delays)


def test_a_primary_just_above_its_floor_is_hardly_ever_left() -> None:
    left = 0
    (held,) = held_by(RULE)
    for seed in range(20):
        rng = random.Random(seed)
        evidence = begin(ON_PRIMARY, RULE, held)
        for _ in range(60):
            evidence = evidence.with_observations(observed(answers(rng, 0.72, 25)), 1)
            if decide(ON_PRIMARY, RULE, [Watched(held=held, evidence=evidence)], Options(), now=NOW):
                left += 1
                break
    assert left <= 1


def test_few_bad_answers_are_not_enough_and_old_evidence_is_not_fresh() -> None:
    assert verdict(ON_PRIMARY, [0.1] * 19) is None
    found = verdict(ON_PRIMARY, [0.1] * 40)
    assert found is not None
    assert (found.to, found.samples, found.mean) == ("fallback", 40, pytest.approx(0.1))
    one = watched(ON_PRIMARY, RULE, [0.1] * 40)
    assert decide(ON_PRIMARY, RULE, one, Options(), now=2400 * SECOND) == []


def test_a_return_needs_recovery_beyond_chance() -> None:
    assert verdict(ON_FALLBACK, [0.95] * 4) is None
    assert verdict(ON_FALLBACK, [0.71] * 12) is None
    found = verdict(ON_FALLBACK, [0.95] * 30)
    assert found is not None
    assert found.to == "primary"
    assert verdict(ON_FALLBACK, [0.95] * 20 + [0.2] * 10) is None


def test_only_calls_after_the_cooldown_count_towards_a_return() -> None:
    (held,) = held_by(RULE)
    assert begin(ON_FALLBACK, RULE, held).since == 1060 * SECOND


def test_a_route_that_went_back_and_forth_too_often_stays_on_its_fallback() -> None:
    often = Options(switches_today=6)
    assert verdict(ON_FALLBACK, [0.95] * 30, options=often) is None
    assert verdict(ON_PRIMARY, [0.1] * 40, options=often) is not None


def test_a_document_can_hold_the_route_and_alerts_go_on() -> None:
    held = RULE.model_copy(update={"mode": "fallback"})
    found = verdict(ON_PRIMARY, [], held)
    assert found is not None
    assert (found.to, found.metric) == ("fallback", "")
    assert verdict(ON_FALLBACK, [0.95] * 30, held) is None
    route = Route(targets=[Target(upstream="u", model="m"), Target(upstream="v", model="m", role="fallback")])
    for mode in ("primary", "frozen", "dry_run"):
        kept = RULE.model_copy(update={"mode": mode})
        found = verdict(ON_PRIMARY, [0.1] * 100, kept, options_of(route, kept))
        assert found is not None
        assert found.to == "alert", mode
    assert verdict(ON_FALLBACK, [0.95] * 30, RULE.model_copy(update={"mode": "frozen"})) is None


def test_guards_share_one_level_and_the_one_that_fell_moves_the_route() -> None:
    assert [held.alpha for held in held_by(TWO)] == [0.025, 0.025]
    found = decide(ON_PRIMARY, TWO, watched(ON_PRIMARY, TWO, [0.9] * 60, [0.5] * 60), Options(), now=NOW)
    assert [(one.to, one.metric) for one in found] == [("fallback", "error_rate")]
    assert found[0].mean == pytest.approx(0.5)
    assert "error_rate 0.5" in found[0].reason


def test_a_return_waits_for_the_guard_that_fell_and_for_no_other_to_look_bad() -> None:
    away = RouteState(state="fallback", since=1000 * SECOND, metric="error_rate")

    def back(scores: Sequence[float], served: Sequence[float]) -> bool:
        found = decide(away, TWO, watched(away, TWO, scores, served), Options(), now=NOW)
        return [one.to for one in found] == ["primary"]

    assert back([], [1.0] * 60)
    assert not back([0.9] * 60, [])
    assert not back([0.3] * 30, [1.0] * 60)


def test_a_guard_may_return_to_the_previous_prompt_first_and_then_leave_the_primary() -> None:
    guard = Guard(metric="score:groundedness", limit=0.7, action="previous_prompt", prompt="answer")
    rule = QualityRule(guards=[guard])
    bad = [0.1] * 60
    undo = Options(prompts=frozenset({"score:groundedness"}))
    (first,) = decide(ON_PRIMARY, rule, watched(ON_PRIMARY, rule, bad), undo, now=NOW)
    again = watched(ON_PRIMARY, rule, bad, firing_since=1)
    (then,) = decide(ON_PRIMARY, rule, again, Options(), now=NOW)
    assert (first.to, then.to) == ("previous_prompt", "fallback")


def test_an_alert_is_told_once_and_resolved_by_a_proven_recovery() -> None:
    rule = QualityRule(guards=[Guard(metric="score:groundedness", limit=0.7, action="alert")])
    stay = Options()
    (told,) = decide(ON_PRIMARY, rule, watched(ON_PRIMARY, rule, [0.1] * 60), stay, now=NOW)
    assert told.to == "alert"
    bad = watched(ON_PRIMARY, rule, [0.1] * 60, firing_since=1)
    assert decide(ON_PRIMARY, rule, bad, stay, now=NOW) == []
    good = watched(ON_PRIMARY, rule, [0.95] * 60, firing_since=1)
    assert [one.to for one in decide(ON_PRIMARY, rule, good, stay, now=NOW)] == ["resolved"]


def test_evidence_survives_storage_and_starts_afresh_when_the_rule_changes() -> None:
    (held,) = held_by(RULE)
    evidence = begin(ON_PRIMARY, RULE, held).with_observations(observed([0.5, 0.9, 7.0]), 9)
    again = Evidence.from_json(evidence.to_json())
    more = observed(answers(random.Random(3), 0.6, 40))
    assert again.with_observations(more, 10).to_json() == evidence.with_observations(more, 10).to_json()
    assert (evidence.samples, evidence.ignored) == (2, 1)
    other = RULE.model_copy(update={"floor": 0.8})
    signatures = {
        begin(state, rule, *held_by(rule)).signature
        for state, rule in ((ON_PRIMARY, RULE), (ON_PRIMARY, other), (ON_FALLBACK, other))
    }
    assert len(signatures) == 3


def test_only_answers_of_the_primary_count() -> None:
    route = Route(
        targets=[
            Target(upstream="openai", model="gpt-4o"),
            Target(upstream="openai", model="gpt-4o-mini", role="fallback"),
        ]
    )
    assert primaries(route) == [("openai", "gpt-4o")]


def test_a_page_never_ends_within_a_moment() -> None:
    page = [TimedScore(1, made, 0.5, "u", "m") for made in (1, 1, 2, 3, 3)]
    kept, cursor = whole_moments(page)
    assert ([score.created_at for score in kept], cursor) == ([1, 1, 2], 2)
