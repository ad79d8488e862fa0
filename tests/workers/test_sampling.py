"""What is sampled, at which rate, and how much of the traffic the scores speak for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from spanledger_collector.store.coverage import read_coverage
from spanledger_collector.store.reads.evaluation import NewCall
from spanledger_collector.store.reads.window import Window
from spanledger_evaluators.catalogue import build
from spanledger_workers.evaluation.handover import read_rule, rule_message
from spanledger_workers.evaluation.planning import Planner
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.evaluation.scoring import score_jobs
from spanledger_workers.memory import connect_memory
from spanledger_workers.tasks.covering import cover

from .conftest import SECOND, World

RULE = Rule(
    project="shop",
    name="sampled",
    version=1,
    scorers=("groundedness",),
    filter={"operation": "chat"},
    rate=0.1,
    strata=(
        {"when": {"team": "legal"}, "rate": 1.0},
        {"when": {"route": ["a", "b"], "environment": "prod"}, "rate": 0.5},
    ),
)


def call(number: int, **more: str) -> NewCall:
    given = {
        "project": "shop", "span_id": "aa", "operation": "chat", "team": "", "feature": "", "user_id": "", "route": "",
        "upstream": "", "request_model": "", "environment": "", "prompt_name": "", "cache": "",
    }  # fmt: skip
    return NewCall(trace_id=f"{number * 7919:032x}", start_time=0, inserted_at=0, **(given | more))


def share(rule: Rule, **more: str) -> float:
    calls = [call(number, **more) for number in range(2000)]
    return sum(rule.wants(one) for one in calls) / len(calls)


def test_each_stratum_is_sampled_at_its_own_rate_the_first_that_fits_wins() -> None:
    assert share(RULE, team="legal", route="a", environment="prod") == 1.0
    assert share(RULE, route="b", environment="prod") == pytest.approx(0.5, abs=0.05)
    assert share(RULE, route="b") == pytest.approx(0.1, abs=0.03)
    assert share(RULE, operation="embeddings", team="legal") == 0
    assert RULE.rate_of(partial(getattr, call(1, team="legal"))) == 1.0


def test_a_rule_survives_its_message_and_a_wrong_name_in_a_stratum_is_said() -> None:
    assert read_rule(rule_message(RULE)) == RULE
    odd = replace(RULE, strata=({"when": {"teem": "legal"}, "rate": 1.0},))
    assert odd.unknown_filters() == ["teem"]
    assert not odd.wants(call(1))


@pytest.mark.clickhouse
@pytest.mark.broker
def test_coverage_says_what_share_of_the_calls_was_sampled_scored_and_skipped(
    world: World, redis_url: str
) -> None:
    now = time.time_ns()
    rule = replace(
        RULE, filter={"route": "answers", "has_documents": True}, rate=1.0,
        strata=({"when": {"team": "quiet"}, "rate": 1e-9},),
    )  # fmt: skip
    for n in range(3):
        world.rag_call(start=now - n * SECOND)
    world.insert([world.call(start_time=now - 40 * SECOND, team=team) for team in ("quiet", "quiet", "x")])
    world.rag_call(route="other")
    planned: list[tuple[Rule, list[object]]] = []
    planner = Planner(
        store=world.client,
        redis=connect_memory(redis_url),
        hand_over=lambda rule, jobs: planned.append((rule, list(jobs))),
    )
    assert planner.tick([rule], time.time_ns() + 10 * SECOND) == 4
    scorers = [build("groundedness")]
    with asyncio.Runner() as runner:
        for _, jobs in planned:
            score_jobs(world.client, runner, rule, jobs, scorers, clock=lambda: now + 30 * SECOND)  # pyright: ignore[reportArgumentType]
    assert cover(world.client, [rule], now + 60 * SECOND) >= 1
    cover(world.client, [rule], now + 61 * SECOND)  # again changes nothing
    (found,) = read_coverage(world.client, "shop", Window(now - 3600 * SECOND, now + 3600 * SECOND))
    assert (found.matched, found.sampled, found.scored, found.dead, found.pending) == (6, 4, 3, 0, 0)
    assert found.skipped == {"no documents": 1}
    assert found.share == 0.5
    rates = world.rows("SELECT DISTINCT sample_rate FROM scores")
    assert rates == [{"sample_rate": 1.0}]


@pytest.mark.clickhouse
@pytest.mark.broker
def test_reading_calls_again_takes_several_ticks_where_one_cannot_hold_them(
    world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_workers.evaluation.planning.PAGE", 6)
    monkeypatch.setattr("spanledger_workers.evaluation.planning.PAGES", 2)
    begin = time.time_ns() - 30 * SECOND
    rule = replace(RULE, filter={}, rate=1.0, strata=())
    planner = Planner(store=world.client, redis=connect_memory(redis_url), hand_over=lambda rule, jobs: None)
    planner.tick([rule], begin)
    made = 0
    for second in range(40):  # twenty seconds hold 60 calls, a tick 12
        at = begin + second * SECOND
        if second < 30:
            world.insert([world.call(start_time=at) for _ in range(3)], inserted_at=at)
        made += planner.tick([rule], at + 5 * SECOND)
    assert made == 3 * 30


@pytest.mark.clickhouse
@pytest.mark.broker
def test_more_calls_in_one_millisecond_than_a_page_holds_are_planned_and_late_ones_too(
    world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_workers.evaluation.planning.PAGE", 4)
    monkeypatch.setattr("spanledger_workers.evaluation.planning.PAGES", 2)
    now = time.time_ns()
    rule = replace(RULE, filter={}, rate=1.0, strata=())
    planner = Planner(store=world.client, redis=connect_memory(redis_url), hand_over=lambda rule, jobs: None)
    world.insert([world.call(start_time=now) for _ in range(21)], inserted_at=now)
    made = 0
    for tick in range(10):
        made += planner.tick([rule], now + (5 + tick) * SECOND)
    assert made == 21
    late = [world.call(start_time=now) for _ in range(3)]
    world.insert(late, inserted_at=now + 8 * SECOND)  # visible long after the tick that should have seen it
    for tick in range(10, 30):
        made += planner.tick([rule], now + (5 + tick) * SECOND)
    assert made == 24
