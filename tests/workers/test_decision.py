"""When a route is moved: quickly for a real drop, hardly ever for none, and never back and forth."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from spanledger_collector.store.reads.evaluation import TimedScore
from spanledger_collector.store.registry.serving import QualityRule, Route, Target
from spanledger_workers.loop.decision import Decision, RouteState, begin, decide, is_primary, signature
from spanledger_workers.loop.evidence import Evidence
from spanledger_workers.loop.routes import whole_moments

SECOND = 1_000_000_000
RULE = QualityRule(score="groundedness", floor=0.7, min_samples=20, cooldown_s=60, window_s=300)
ON_PRIMARY = RouteState()
ON_FALLBACK = RouteState(state="fallback", since=1000 * SECOND)


def scored(values: Sequence[float], start: int = 2000 * SECOND) -> list[TimedScore]:
    return [
        TimedScore(start + index, start + index, value, "openai", "gpt-4o")
        for index, value in enumerate(values)
    ]


def answers(rng: random.Random, mean: float, n: int) -> list[float]:
    return [min(1.0, max(0.0, rng.gauss(mean, 0.2))) for _ in range(n)]


def verdict(
    state: RouteState, values: Sequence[float], rule: QualityRule = RULE, switches: int = 0
) -> Decision | None:
    evidence = begin(state, rule).with_scores(scored(values), 3000 * SECOND)
    return decide(state, rule, evidence, now=2001 * SECOND, switches_today=switches)


def test_a_drop_from_85_to_60_moves_the_route_within_100_answers_at_median() -> None:
    delays: list[int] = []
    for seed in range(30):
        rng = random.Random(seed)
        evidence = begin(ON_PRIMARY, RULE).with_scores(scored(answers(rng, 0.85, 200)), 1)
        delay = 0
        while (
            decide(ON_PRIMARY, RULE, evidence, now=2001 * SECOND, switches_today=0) is None and delay < 2000
        ):
            evidence = evidence.with_scores(scored(answers(rng, 0.60, 5)), 1)
            delay += 5
        delays.append(delay)
    assert sorted(delays)[15] <= 100, sorted(delays)


def test_a_primary_just_above_its_floor_is_hardly_ever_left() -> None:
    left = 0
    for seed in range(30):
        rng = random.Random(seed)
        evidence = begin(ON_PRIMARY, RULE)
        for _ in range(60):
            evidence = evidence.with_scores(scored(answers(rng, 0.72, 25)), 1)
            if decide(ON_PRIMARY, RULE, evidence, now=2001 * SECOND, switches_today=0):
                left += 1
                break
    assert left <= 1


def test_few_bad_answers_are_not_enough_and_old_evidence_is_not_fresh() -> None:
    assert verdict(ON_PRIMARY, [0.1] * 19) is None
    found = verdict(ON_PRIMARY, [0.1] * 40)
    assert found is not None
    assert (found.to, found.samples, found.mean) == ("fallback", 40, pytest.approx(0.1))
    evidence = begin(ON_PRIMARY, RULE).with_scores(scored([0.1] * 40), 1)
    assert decide(ON_PRIMARY, RULE, evidence, now=2400 * SECOND, switches_today=0) is None


def test_a_return_needs_recovery_beyond_chance() -> None:
    assert verdict(ON_FALLBACK, [0.95] * 4) is None
    assert verdict(ON_FALLBACK, [0.71] * 12) is None
    found = verdict(ON_FALLBACK, [0.95] * 30)
    assert found is not None
    assert found.to == "primary"
    assert verdict(ON_FALLBACK, [0.95] * 20 + [0.2] * 10) is None


def test_only_calls_after_the_cooldown_count_towards_a_return() -> None:
    assert begin(ON_FALLBACK, RULE).since == 1060 * SECOND


def test_a_route_that_went_back_and_forth_too_often_stays_on_its_fallback() -> None:
    assert verdict(ON_FALLBACK, [0.95] * 30, switches=6) is None
    assert verdict(ON_PRIMARY, [0.1] * 40, switches=6) is not None


def test_a_document_can_hold_the_route() -> None:
    held = RULE.model_copy(update={"mode": "fallback"})
    found = verdict(ON_PRIMARY, [], held)
    assert found is not None
    assert found.to == "fallback"
    assert verdict(ON_FALLBACK, [0.95] * 30, held) is None
    frozen = RULE.model_copy(update={"mode": "primary"})
    assert verdict(ON_PRIMARY, [0.1] * 100, frozen) is None


def test_evidence_survives_storage_and_starts_afresh_when_the_rule_changes() -> None:
    evidence = begin(ON_PRIMARY, RULE).with_scores(scored([0.5, 0.9, 7.0]), 9)
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert (evidence.samples, evidence.ignored) == (2, 1)
    other = RULE.model_copy(update={"floor": 0.8})
    assert signature(ON_PRIMARY, RULE) != signature(ON_PRIMARY, other) != signature(ON_FALLBACK, other)


def test_only_answers_of_the_primary_count() -> None:
    route = Route(
        targets=[
            Target(upstream="openai", model="gpt-4o"),
            Target(upstream="openai", model="gpt-4o-mini", role="fallback"),
        ]
    )
    assert is_primary(route, TimedScore(1, 1, 0.5, "openai", "gpt-4o"))
    assert not is_primary(route, TimedScore(1, 1, 0.5, "openai", "gpt-4o-mini"))


def test_a_page_never_ends_within_a_moment() -> None:
    page = [TimedScore(1, made, 0.5, "u", "m") for made in (1, 1, 2, 3, 3)]
    kept, cursor = whole_moments(page)
    assert ([score.created_at for score in kept], cursor) == ([1, 1, 2], 2)
