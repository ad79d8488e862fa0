"""A rule's daily cap holds for all workers together, and an unknown price runs under none."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from spanledger.records import Score
from spanledger_collector.store.writes_evaluation import insert_scores
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.evaluation.pace import LONGEST_WAIT_S, JudgePace
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.memory import connect_memory

from .conftest import World

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

RULE = Rule(
    project="shop",
    name="judged",
    version=1,
    scorers=("faithfulness",),
    filter={},
    daily_cap="0.010",
    judge={"route": "judge"},
)


def scored(world: World, n: int, cost: str | None) -> None:
    now = time.time_ns()
    insert_scores(
        world.client,
        [
            Score(
                project="shop",
                score_id=f"{cost}-{k}",
                trace_id=k.to_bytes(16),
                span_id=b"callcall",
                name="faithfulness",
                value=1.0,
                judge_id="judge",
                evaluator="judged",
                cost=None if cost is None else Decimal(cost),
                time=now,
                created_at=now,
            )
            for k in range(n)
        ],
    )


def test_workers_cannot_pass_the_cap_together(world: World, redis_url: str) -> None:
    caps = Caps(store=world.client, redis=connect_memory(redis_url))
    scored(world, 6, "0.001")
    now = time.time_ns()
    first, second, third = (caps.reserve(RULE, 3, now) for _ in range(3))
    assert (first.jobs, second.jobs, third.jobs) == (3, 1, 0)
    assert "daily cap of 0.010 USD" in third.why
    assert caps.held(RULE) == Decimal("0.004")
    for grant in (first, second):
        caps.release(grant)
    assert caps.held(RULE) == 0


def test_a_used_up_cap_grants_nothing(world: World, redis_url: str) -> None:
    caps = Caps(store=world.client, redis=connect_memory(redis_url))
    scored(world, 11, "0.001")
    assert caps.reserve(RULE, 3, time.time_ns()).jobs == 0


def test_an_unknown_price_is_refused_under_a_cap_and_nothing_is_without_one(
    world: World, redis_url: str
) -> None:
    caps = Caps(store=world.client, redis=connect_memory(redis_url))
    scored(world, 1, None)
    assert caps.reserve(RULE, 3, time.time_ns()).jobs == 0
    assert caps.reserve(replace(RULE, daily_cap=None), 3, time.time_ns()).jobs == 3


def test_a_project_and_all_projects_together_have_caps_too(world: World, redis_url: str) -> None:
    scored(world, 4, "0.001")
    free = replace(RULE, daily_cap=None)
    redis = connect_memory(redis_url)
    now = time.time_ns()
    mine = Caps(store=world.client, redis=redis, per_project=Decimal("0.006"))
    first = mine.reserve(free, 5, now)
    assert (first.jobs, first.held) == (2, 2_000_000)
    assert "project's daily cap of 0.006 USD" in first.why
    assert mine.reserve(replace(free, name="other"), 5, now).jobs == 0
    mine.release(first)
    both = Caps(store=world.client, redis=redis, per_project=Decimal(1), total=Decimal("0.005"))
    second = both.reserve(free, 5, now)
    assert second.jobs == 1
    assert "all evaluation" in second.why
    elsewhere = both.reserve(replace(free, project="else"), 5, now)
    assert elsewhere.jobs == 0
    both.release(second)
    assert both.reserve(RULE, 5, now).jobs == 1


def test_workers_share_a_judges_requests_per_minute(redis_url: str) -> None:
    paces = [JudgePace(connect_memory(redis_url), "judge", 600) for _ in range(2)]

    async def ask(pace: JudgePace, n: int) -> None:
        for _ in range(n):
            await pace.admit()

    async def all_of_them() -> float:
        begun = time.monotonic()
        await asyncio.gather(*(ask(pace, 35) for pace in paces))
        return time.monotonic() - begun

    took = asyncio.run(all_of_them())  # 50 at once, the rest at 10 a second
    assert took >= 1.8
    assert paces[0].wait_s() == pytest.approx(0.1, abs=0.1)
    slow = JudgePace(connect_memory(redis_url), "slow", 1)
    asyncio.run(ask(slow, 1))
    assert slow.wait_s() > LONGEST_WAIT_S
