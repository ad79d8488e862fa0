"""Calls made before a route had a semantic tier: replayed, checked, and counted towards its certificate."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from spanledger.records import CallRecord, Score
from spanledger_collector.store.reads.cache_checks import meetings
from spanledger_collector.store.reads.cache_replay import replayed, unchecked
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.serving import Route
from spanledger_collector.store.writes_evaluation import insert_scores
from spanledger_evaluators.cached_answers import CachedAnswer
from spanledger_workers.caching.certifying import Certifying, evidence_key
from spanledger_workers.caching.checking import Checker
from spanledger_workers.caching.replaying import Replaying
from spanledger_workers.caching.rules import Tier, tiers
from spanledger_workers.caching.state import TierState, read_state, state_key
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.memory import Memory, connect_memory

from .conftest import SECOND, World, message

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

ROUTE: dict[str, Any] = {
    "targets": [{"upstream": "openai", "model": "gpt-4o"}],
    "cache": {"ttl_s": 600, "semantic": {"max_wrong_hits": 0.3}},
}
START = 1_790_000_000 * SECOND
TOWER, TOWER_AGAIN = "When was the tower built?", "In which year was the tower built?"


class Past:
    """Calls that a route answered before it had a tier."""

    def __init__(self, world: World, redis: Memory) -> None:
        self.world, self.redis = world, redis
        self.now = START
        self._calls: list[CallRecord] = []

    def asked(self, question: str, answer: str = "In 1889.", system: str = "", **more: Any) -> CallRecord:
        """An answered call a second after the last one; nothing of it is unrecorded unless told."""
        self.now += SECOND
        turns = [message("system", system)] if system else []
        given: dict[str, Any] = {
            "start_time": self.now,
            "input": json.dumps([*turns, message("user", question)]),
            "output": json.dumps([message("assistant", answer)]),
            "finish_reason": "stop",
            "attributes": {"spanledger.request.api": "chat"},
        }
        call = self.world.call(**(given | more))
        self._calls.append(call)
        return call

    def races(self, count: int) -> None:
        """Ask for the winners of so many races, each twice in other words; answers of one race mean the same."""
        for year in range(1890, 1890 + count):
            self.asked(f"Who won the race of {year}?", f"Number {year} did.")
            self.asked(f"Who was the winner of the race of {year}?", f"number {year} did")

    def tier(self, **semantic: Any) -> Tier:
        """The route's tier, switched on now."""
        rule = {**ROUTE["cache"], "semantic": {**ROUTE["cache"]["semantic"], **semantic}}
        document = Route.model_validate({**ROUTE, "cache": rule})
        return tiers([("shop", "answers", 1, document, 0)])[0]

    def replay(self, tier: Tier) -> list[tuple[str, str]]:
        """Store the calls and replay; the events told, as states and messages."""
        if self._calls:
            self.world.insert(self._calls)
            self._calls = []
        self.now += 20 * SECOND
        told = Replaying(store=self.world.client, redis=self.redis).tick([tier], self.now)
        return [(event.state, event.message) for event in told]

    def met(self) -> list[tuple[int, int]]:
        """Which call met which other's answer, by the order in which they were made, from 1."""
        query = """SELECT hex(trace_id) AS call, hex(origin_trace) AS origin FROM cache_meetings FINAL
            ORDER BY start_time"""
        return [(int(row["call"], 16), int(row["origin"], 16)) for row in self.world.rows(query)]

    def check(self, tier: Tier) -> TierState:
        """Both ticks that follow a replay, each later than the last; what gateways would obey."""
        self.now += 20 * SECOND
        with asyncio.Runner() as runner:
            checker = Checker(
                store=self.world.client,
                redis=self.redis,
                runner=runner,
                scorers=lambda _: [CachedAnswer()],
                caps=Caps(store=self.world.client, redis=self.redis),
                clock=lambda: self.now,
            )
            checker.tick([tier])
        self.now += 20 * SECOND
        Certifying(store=self.world.client, redis=self.redis).tick([tier], self.now)
        return read_state(self.redis.hgetall(state_key("shop", "answers")))


@pytest.fixture
def past(world: World, redis_url: str) -> Past:
    return Past(world, connect_memory(redis_url))


def test_past_calls_meet_what_was_complete_when_they_started(past: Past) -> None:
    past.asked(TOWER)
    past.asked(TOWER_AGAIN)  # meets the first
    past.asked(TOWER)  # word for word: the exact tier's
    past.asked("When was the tower torn down?", "Never.")  # no guard lets it pass, or it is not alike
    past.asked("How tall is a giraffe?", "Five metres.", duration_ns=10 * SECOND)
    past.asked("What height does a giraffe have?", "Five metres.")  # the other one is still being answered
    told = past.replay(past.tier())
    assert past.met() == [(2, 1)]
    assert told == [
        ("replayed", "6 calls of the last 7 days: 1 were asked before word for word, 1 in other words, 0 were left out")
    ]  # fmt: skip


def test_an_answer_is_found_until_its_time_is_over(past: Past) -> None:
    past.asked(TOWER)
    past.now += 700 * SECOND
    past.asked(TOWER_AGAIN)
    past.replay(past.tier())
    assert past.met() == []


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Answer in French."},
        {"temperature": 0.7},
        {"max_tokens": 20},
        {"team": "red"},
        {"prompt_name": "guide", "prompt_version": 2},
        {"attributes": {"spanledger.request.api": "responses"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_calls_that_could_not_share_answers_do_not_meet(past: Past, other: dict[str, Any]) -> None:
    past.asked(TOWER)
    past.asked(TOWER_AGAIN, **other)
    past.replay(past.tier())
    assert past.met() == []


def test_users_meet_each_other_unless_the_rule_keeps_them_apart(past: Past) -> None:
    past.asked(TOWER, user_id="ann")
    past.asked(TOWER_AGAIN, user_id="ben")
    past.replay(past.tier(user_scoped=True))
    assert past.met() == []
    past.replay(past.tier())
    assert past.met() == [(2, 1)]


@pytest.mark.parametrize(
    "unlike",
    [
        {"attributes": {}},
        {"attributes": {"spanledger.request.api": "chat", "spanledger.request.fields": '["tools"]'}},
        {"finish_reason": "length"},
        {"finish_reason": "tool_calls"},
        {"status": "error"},
        {"cache": "exact"},
        {"purpose": "eval"},
        {"fallback_from": "openai"},
        {"redactions": 1},
        {"request_model": "another"},
        {"input": "not JSON"},
    ],
    ids=lambda unlike: next(iter(unlike)) + str(next(iter(unlike.values())))[-12:],
)
def test_calls_whose_answers_no_cache_would_have_kept_are_left_out(
    past: Past, unlike: dict[str, Any]
) -> None:
    past.asked(TOWER, **unlike)
    past.asked(TOWER_AGAIN)
    past.replay(past.tier())
    assert past.met() == []


def test_a_route_with_traffic_behind_it_opens_at_once(past: Past) -> None:
    past.races(40)
    tier = past.tier()
    past.replay(tier)
    assert len(past.met()) == 40
    state = past.check(tier)
    assert state.state == "open"
    assert (state.checks, state.wrong) == (40, 0)
    assert past.replay(tier) == []  # once is enough
    counted = replayed(past.world.client, "shop", ["answers"])
    assert [(found.met, found.checked, found.wrong) for found in counted] == [(40, 40, 0)]


def test_what_redis_forgot_is_replayed_again_and_counts_once(past: Past) -> None:
    past.races(20)
    tier = past.tier()
    past.replay(tier)
    before = past.check(tier)
    for key in (state_key("shop", "answers"), evidence_key("shop", "answers"), "spanledger:cache:replayed:shop:answers"):  # fmt: skip
        past.redis.delete(key)
    assert past.replay(tier) == []  # told before
    after = past.check(tier)
    assert (after.checks, after.bound) == (before.checks, before.bound)
    assert len(past.met()) == 20


def test_live_calls_are_checked_as_such_and_not_replayed(past: Past) -> None:
    tier = past.tier()
    past.asked(TOWER)
    past.asked(TOWER_AGAIN)
    past.asked("Of which year is the tower?", attributes={
        "spanledger.request.api": "chat", "spanledger.cache.group": tier.group,
    })  # fmt: skip
    past.asked("What year was the tower built in?")
    past.replay(tier)
    assert past.met() == [(2, 1)]


def test_a_person_looks_at_replayed_meetings_too(past: Past) -> None:
    past.asked(TOWER, "In 1889.")
    call = past.asked(TOWER_AGAIN, "It was finished in 1889.")
    tier = past.tier()
    past.replay(tier)
    assert past.check(tier).wrong == 1  # the texts differ and there is no judge
    shown = meetings(past.world.client, "shop", Window(START, past.now))
    assert [(row["cache"], row["entry"], row["span"]) for row in shown] == [
        ("replay", "", call.span_id.hex())
    ]
    insert_scores(past.world.client, [_by_person(call, past.now)])
    state = past.check(tier)
    assert (state.checks, state.wrong) == (1, 0)


def test_texts_that_differed_are_judged_once_a_judge_is_named(past: Past) -> None:
    past.asked(TOWER, "In 1889.")
    past.asked(TOWER_AGAIN, "It was finished in 1889.")
    past.asked("How do I reset my password?", "By the link.")
    past.asked("How can I reset my password?", "by the link")
    past.replay(past.tier())
    state = past.check(past.tier())
    assert (state.checks, state.wrong) == (2, 1)
    judged = past.tier(judge={"route": "judge"})
    waiting = unchecked(
        past.world.client, project="shop", tier=judged.group, judge="judge", oldest=0, limit=9
    )
    assert [int(met.trace_id, 16) for met in waiting] == [2]
    assert unchecked(past.world.client, project="shop", tier=judged.group, judge="", oldest=0, limit=9) == []


def test_what_the_daily_cap_forbids_waits_for_another_day(past: Past) -> None:
    past.asked(TOWER, "In 1889.")
    past.asked(TOWER_AGAIN, "It was finished in 1889.")
    tier = past.tier(judge={"route": "judge"}, daily_cap="0.50")
    past.replay(tier)
    spent = Score(
        project="shop", score_id="of today", trace_id=bytes(16), span_id=bytes(8), name="cache_hit_correct", value=1.0,
        source="judge", judge_id="judge", evaluator="cache:answers", cost=Decimal("0.60"), time=past.now,
        created_at=past.now,
    )  # fmt: skip
    insert_scores(past.world.client, [spent])
    past.check(tier)
    assert past.world.rows("SELECT count() AS n FROM scores FINAL")[0]["n"] == 1
    past.now += 24 * 3600 * SECOND
    past.check(tier)
    assert past.world.rows("SELECT count() AS n FROM scores FINAL")[0]["n"] == 2


def test_a_tier_whose_embedder_is_an_upstreams_says_that_it_is_not_replayed(past: Past) -> None:
    past.asked(TOWER)
    assert past.replay(past.tier(embedder="openai/text-embedding-3-small")) == [
        ("left_out", "its embedder is an upstream's")
    ]


def test_replay_days_bound_how_far_back_is_looked(past: Past) -> None:
    past.asked(TOWER)
    past.asked(TOWER_AGAIN)
    past.now += 3 * 24 * 3600 * SECOND
    past.replay(past.tier(replay_days=2))
    assert past.met() == []
    assert past.replay(past.tier(replay_days=0)) == []
    past.replay(past.tier(replay_days=4))
    assert past.met() == [(2, 1)]


def _by_person(call: CallRecord, now: int) -> Score:
    return Score(
        project="shop",
        score_id="by a person",
        trace_id=call.trace_id,
        span_id=call.span_id,
        name="cache_hit_correct",
        value=1.0,
        source="human",
        time=call.start_time,
        created_at=now,
    )
