"""The semantic cache's bound at work: would-be hits are checked, the tier opens, hits are audited, wrong ones close it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY

from spanledger.records import CallRecord, Score
from spanledger_collector.store.registry.serving import Route
from spanledger_collector.store.writes_evaluation import insert_scores
from spanledger_evaluators.cached_answers import CachedAnswer
from spanledger_evaluators.contract import Case, JudgeFailure, Scorer
from spanledger_workers.caching.certifying import Certifying, evidence_key
from spanledger_workers.caching.checking import WATERMARKS, Checker
from spanledger_workers.caching.rules import Tier, tiers
from spanledger_workers.caching.state import TierState, read_state, state_key
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.memory import Memory, connect_memory

from .conftest import SECOND, World, message

ALLOWED = 0.3
ROUTE: dict[str, Any] = {
    "targets": [{"upstream": "openai", "model": "gpt-4o"}],
    "cache": {"semantic": {"max_wrong_hits": ALLOWED}},
}


class Bound:
    """One route's tier and the two ticks that care for it; time is the newest call's."""

    def __init__(self, world: World, redis: Memory, document: dict[str, Any] = ROUTE) -> None:
        self.world, self.redis = world, redis
        self.tier: Tier = tiers([("shop", "answers", 1, Route.model_validate(document), 0)])[0]
        self.scorers: Sequence[Scorer] = [CachedAnswer()]
        self.now = 1_790_000_000 * SECOND
        self._made = 0
        self._waiting: list[CallRecord] = []
        self._origin = (1).to_bytes(16), b"original"
        self._call(*self._origin, output=json.dumps([message("assistant", "In 1889.")]))

    def would_be_hit(self, *, right: bool = True, similarity: float = 0.95) -> tuple[bytes, bytes]:
        """A call that an entry would have answered: a request's span, and its attempt with the fresh answer."""
        return self._met("miss", similarity, fresh="in 1889" if right else "In 1925, by others.")

    def hit(self, *, right: bool = True, similarity: float = 0.95) -> tuple[bytes, bytes]:
        """A served hit that was audited."""
        trace, span = self._met("semantic", similarity, fresh="")
        audit = {"spanledger.cache.audit_of_trace": trace.hex(), "spanledger.cache.audit_of_span": span.hex()}
        self._call(trace, b"auditing", parent_span_id=span, purpose="cache_check", attributes=audit,
                   output=json.dumps([message("assistant", "In 1889" if right else "Never, it was 1925.")]))  # fmt: skip
        return trace, span

    def check(self) -> TierState:
        """Both ticks, once everything has settled; the state that gateways would obey."""
        if self._waiting:
            self._store()
        self.now += 20 * SECOND
        with asyncio.Runner() as runner:
            checker = Checker(
                store=self.world.client,
                redis=self.redis,
                runner=runner,
                scorers=lambda _: self.scorers,
                caps=Caps(store=self.world.client, redis=self.redis),
                clock=lambda: self.now,
            )
            checker.tick([self.tier])
        self.now += 20 * SECOND
        return self.certify()

    def certify(self) -> TierState:
        """The second tick alone."""
        Certifying(store=self.world.client, redis=self.redis).tick([self.tier], self.now)
        return self.state

    @property
    def state(self) -> TierState:
        return read_state(self.redis.hgetall(state_key("shop", "answers")))

    def events(self) -> list[tuple[str, str]]:
        """Kinds and states of the trail, in the order told, without the bound's history."""
        query = "SELECT kind, state FROM events FINAL WHERE kind != 'cache_bound' ORDER BY time, kind DESC"
        return [(row["kind"], row["state"]) for row in self.world.rows(query)]

    def _met(self, cache: str, similarity: float, fresh: str) -> tuple[bytes, bytes]:
        self._made += 1
        self.now += SECOND
        trace, span = (10_000 + self._made).to_bytes(16), b"requests"
        origin = {
            "spanledger.cache.candidate_trace": self._origin[0].hex(),
            "spanledger.cache.candidate_span": self._origin[1].hex(),
            "spanledger.cache.group": self.tier.group,
        }
        output = ""
        if cache == "miss":
            origin |= {
                "spanledger.cache.candidate": "e1",
                "spanledger.cache.candidate_similarity": f"{similarity}",
            }
            answer = json.dumps([message("assistant", fresh)])
            self._call(trace, b"attempts", parent_span_id=span, attempt=1, output=answer)
        else:
            output = json.dumps([message("assistant", "In 1889.")])
        served = {"cache_similarity": similarity, "cache_entry": "e1"} if cache == "semantic" else {}
        self._call(trace, span, cache=cache, attributes=origin, output=output, attempt=0, **served)
        return trace, span

    def _call(self, trace: bytes, span: bytes, **more: Any) -> None:
        given: dict[str, Any] = {
            "project": "shop", "trace_id": trace, "span_id": span, "start_time": self.now, "duration_ns": SECOND // 2,
            "name": "chat", "operation": "chat", "route": "answers", "billable": True,
            "input": json.dumps([message("user", "When was the tower built?")]),
        }  # fmt: skip
        self._waiting.append(CallRecord(**(given | more)))

    def _store(self) -> None:
        """All calls that wait, stamped as inserted now; one insert, because each takes a while."""
        names = [entry.name for entry in fields(CallRecord)]
        stamp = datetime.fromtimestamp(self.now / SECOND, UTC)
        rows = [[*(getattr(row, name) for name in names), stamp] for row in self._waiting]
        self.world.client.insert("spans", rows, column_names=[*names, "inserted_at"])
        self._waiting = []


@pytest.fixture
def bound(world: World, redis_url: str) -> Bound:
    redis = connect_memory(redis_url)
    return Bound(world, redis)


pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]


def test_a_tier_opens_by_checks_is_paused_by_a_wrong_hit_and_closed_by_more(bound: Bound) -> None:
    bound.would_be_hit()
    first = bound.check()
    assert (first.state, first.checks, first.wrong) == ("closed", 1, 0)
    assert first.needed > 3
    assert first.group == bound.tier.group
    for _ in range(first.needed):
        bound.would_be_hit()
    opened = bound.check()
    assert opened.state == "open"
    assert opened.bound <= ALLOWED
    assert opened.threshold <= 0.95
    for _ in range(40):
        bound.hit()
    assert bound.check().state == "open"
    bound.hit(right=False)
    paused = bound.check()
    assert (paused.state, paused.certified) == ("closed", opened.certified)
    for _ in range(12):
        bound.would_be_hit(right=False)
    closed = bound.check()
    assert closed.certified == 0
    assert closed.needed > 0
    assert closed.wrong > 0
    assert bound.events() == [
        ("cache", "opened"), ("alert", "resolved"), ("cache", "paused"), ("cache", "closed"), ("alert", "firing"),
    ]  # fmt: skip


def test_what_redis_forgot_is_built_anew_and_told_to_nobody(bound: Bound) -> None:
    for _ in range(40):
        bound.would_be_hit()
    bound.would_be_hit(right=False, similarity=0.75)
    before, told = bound.check(), bound.events()
    assert before.state == "open"
    bound.redis.delete(state_key("shop", "answers"), evidence_key("shop", "answers"))
    bound.now += SECOND
    after = bound.certify()
    assert (after.threshold, after.bound, after.checks) == (before.threshold, before.bound, before.checks)
    assert bound.events() == told


def test_checking_again_changes_nothing(bound: Bound) -> None:
    for _ in range(5):
        bound.would_be_hit()
    before = bound.check()
    bound.redis.delete(WATERMARKS)
    assert bound.check().checks == before.checks == 5


def test_a_persons_verdict_stands_before_the_workers(bound: Bound) -> None:
    trace, span = bound.would_be_hit(right=False)
    assert bound.check().wrong == 1
    insert_scores(bound.world.client, [_by_person(bound, trace, span, value=1.0)])
    bound.now += 5 * SECOND
    assert bound.certify().wrong == 0


def test_of_hits_nobody_drew_only_a_persons_wrong_counts(bound: Bound) -> None:
    bound.would_be_hit()
    bound.check()
    calls = [bound._met("semantic", 0.95, fresh="") for _ in range(2)]  # pyright: ignore[reportPrivateUsage]
    scores = [_by_person(bound, *call, value=value) for call, value in zip(calls, (1.0, 0.0), strict=True)]
    bound._store()  # pyright: ignore[reportPrivateUsage]
    insert_scores(bound.world.client, scores)
    bound.now += 5 * SECOND
    state = bound.certify()
    assert (state.checks, state.wrong) == (2, 1)


def test_checks_without_a_verdict_keep_the_tier_closed(bound: Bound) -> None:
    class Absent(CachedAnswer):
        async def score(self, case: Case) -> Any:
            raise JudgeFailure("timeout", "nobody answers")

    for _ in range(40):
        bound.would_be_hit()
    bound.check()
    bound.scorers = [Absent()]
    for _ in range(10):
        bound.would_be_hit()
    state = bound.check()
    assert state.state == "closed"
    assert "got no verdict" in state.reason
    labels = {"project": "shop", "route": "answers"}
    for verdict, least in (("right", 40), ("timeout", 10)):
        counted = REGISTRY.get_sample_value("spanledger_cache_checked_total", {**labels, "verdict": verdict})
        assert counted is not None
        assert counted >= least


def test_an_open_tier_checks_would_be_hits_below_it_no_more_often_than_hits(bound: Bound) -> None:
    for _ in range(60):
        bound.would_be_hit()
    for _ in range(30):
        bound.would_be_hit(right=False, similarity=0.72)
    opened = bound.check()
    assert opened.state == "open"
    assert opened.threshold > 0.72
    key = state_key("shop", "answers")
    bound.redis.hset(key, mapping=replace(opened, audit_share=0.05).fields())
    for _ in range(60):
        bound.would_be_hit(similarity=0.72)
    bound.check()
    assert 90 <= bound.world.rows("SELECT count() AS n FROM scores")[0]["n"] < 105


def _by_person(bound: Bound, trace: bytes, span: bytes, *, value: float) -> Score:
    return Score(
        project="shop",
        score_id=f"{trace.hex()} by a person",
        trace_id=trace,
        span_id=span,
        name="cache_hit_correct",
        value=value,
        source="human",
        cost=Decimal(0),
        time=bound.now,
        created_at=bound.now,
    )
