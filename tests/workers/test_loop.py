"""The loop over real calls: baselines are learned, what got worse moves the route, and what was moved can be explained."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from spanledger.records import Event, Score
from spanledger_collector.store.actions import reset_baseline
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.registry.serving import QualityRule, Route
from spanledger_collector.store.writes_evaluation import insert_scores
from spanledger_workers.loop.collecting import Watch
from spanledger_workers.loop.routes import Loop
from spanledger_workers.memory import connect_memory

from .conftest import World

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]
SECOND = 1_000_000_000
TARGETS = [
    {"upstream": "openai", "model": "gpt-4o"},
    {"upstream": "backup", "model": "llama", "role": "fallback"},
]


@dataclass
class Bench:
    """A loop over one route of a world."""

    world: World
    loop: Loop
    said: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    ahead: int = 10 * SECOND

    def look(self, **quality: Any) -> list[Event]:
        """One tick, ten seconds after the last."""
        route = Route.model_validate({"targets": TARGETS, "quality": {"min_samples": 20, **quality}})
        assert isinstance(route.quality, QualityRule)
        watch = Watch(project="shop", name="answers", route=route, rule=route.quality)
        self.ahead += 10 * SECOND
        return self.loop.tick([watch], time.time_ns() + self.ahead)

    def calls(self, n: int, **more: Any) -> None:
        """Calls of the route that start after everything the loop has looked at."""
        start = time.time_ns() + self.ahead
        rows = [self.world.call(start_time=start + place, **more) for place in range(n)]
        self.world.insert(rows, inserted_at=start)

    def state(self) -> dict[str, str]:
        """What gateways obey."""
        return self.loop.redis.hgetall("spanledger:route:shop:answers")


@pytest.fixture
def bench(world: World, redis_url: str) -> Bench:
    said: list[tuple[str, str, str]] = []
    loop = Loop(
        store=world.client,
        redis=connect_memory(redis_url),
        canary=0.1,
        announce=lambda project, kind, name: said.append((project, kind, name)),
    )
    return Bench(world, loop, said)


def states(told: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.state) for event in told]


@pytest.mark.parametrize(
    ("metric", "worse"),
    [
        ("error_rate", {"status": "error", "error_type": "503"}),
        ("latency_p95_s", {"duration_ns": 2 * SECOND}),
        ("cost_usd", {"cost_total": Decimal("0.002")}),
    ],
)
def test_traffic_worse_than_its_learned_baseline_moves_the_route(
    bench: Bench, metric: str, worse: dict[str, Any]
) -> None:
    quality = {"guards": [{"metric": metric, "baseline_samples": 60}]}
    bench.calls(59)
    assert bench.look(**quality) == []
    bench.calls(1)
    (learned,) = bench.look(**quality)
    assert (learned.kind, learned.state, learned.dedup_key) == ("baseline", "accepted", metric)
    bench.calls(80)
    assert bench.look(**quality) == []
    told: list[Event] = []
    for _ in range(8):
        bench.calls(10, **worse)
        told = told or bench.look(**quality)
    assert states(told) == [("route_switch", "fallback"), ("alert", "firing")]
    evidence = json.loads(told[0].evidence)
    assert evidence["learned"] is True
    assert evidence["metric"] == metric
    assert bench.state()["state"] == "fallback"
    assert bench.state()["metric"] == metric
    bench.calls(200)  # probes of the primary, well again
    bench.ahead += 100 * SECOND
    for _ in range(6):
        bench.calls(30)
        told = bench.look(**quality)
        if told:
            break
    assert states(told) == [("route_switch", "primary"), ("alert", "resolved")]


def test_a_person_can_have_a_baseline_learned_anew(bench: Bench) -> None:
    quality = {"guards": [{"metric": "error_rate", "baseline_samples": 60}]}
    bench.calls(60)
    (first,) = bench.look(**quality)
    reset_baseline(
        bench.world.client,
        project="shop",
        route="answers",
        metric="error_rate",
        author="ada",
        now=time.time_ns() + bench.ahead,
    )
    bench.calls(30)
    bench.calls(30, status="error", error_type="503")
    (second,) = bench.look(**quality)
    assert json.loads(first.evidence)["value"] == 0
    assert json.loads(second.evidence)["value"] == 0.5


def test_a_callers_own_mistakes_do_not_count_against_the_primary(bench: Bench) -> None:
    quality = {"guards": [{"metric": "error_rate", "limit": 0.1}]}
    for _ in range(5):
        bench.calls(20, status="error", error_type="refused")
        bench.calls(20)
        assert bench.look(**quality) == []


def score(bench: Bench, values: Sequence[float]) -> None:
    now = time.time_ns() + bench.ahead
    rows = [
        Score(
            project="shop",
            score_id=f"{now}-{place}",
            trace_id=place.to_bytes(16),
            span_id=b"callcall",
            name="groundedness",
            value=value,
            evaluator="e",
            time=now,
            created_at=now + place,
            route="answers",
            upstream="openai",
            request_model="gpt-4o",
        )
        for place, value in enumerate(values)
    ]
    insert_scores(bench.world.client, rows)


def test_a_bad_prompt_is_taken_back_before_the_primary_is_left(bench: Bench) -> None:
    registry = Registry(bench.world.client)
    for text in ("Answer: {{q}}", "Invent: {{q}}"):
        registry.put("shop", Draft(kind="prompt", name="rag", document={"template": text}), "ada")
    guard = {
        "metric": "score:groundedness", "limit": 0.7, "action": "previous_prompt", "prompt": "rag",
    }  # fmt: skip
    score(bench, [0.2] * 60)
    told = bench.look(guards=[guard])
    assert states(told) == [("route_switch", "previous_prompt"), ("alert", "firing")]
    assert "rag@1 instead of 2" in told[0].title
    newest = registry.get("shop", "prompt", "rag")
    assert newest.document == {"template": "Invent: {{q}}", "labels": {"production": 1}}
    assert newest.author == "worker"
    assert bench.said == [("shop", "prompt", "rag")]
    assert bench.state()["state"] == "primary"
    score(bench, [0.2] * 60)  # from before every application had the prompt: not evidence
    assert bench.look(guards=[guard]) == []
    bench.ahead += 300 * SECOND
    score(bench, [0.2] * 60)
    assert states(bench.look(guards=[guard])) == [("route_switch", "fallback"), ("alert", "firing")]


def test_probes_of_the_primary_keep_to_their_cap(bench: Bench) -> None:
    quality = {"score": "groundedness", "floor": 0.7, "probe_share": 0.2, "probe_usd_per_day": "0.01"}
    score(bench, [0.1] * 60)
    bench.look(**quality)
    assert (bench.state()["state"], float(bench.state()["canary"])) == ("fallback", 0.2)
    bench.calls(5)
    assert bench.look(**quality) == []
    bench.calls(5)
    (told,) = bench.look(**quality)
    assert "used up" in told.title
    assert float(bench.state()["canary"]) == 0
    assert bench.look(**quality) == []
    assert bench.look(**{**quality, "probe_usd_per_day": "1"}) == []
    assert float(bench.state()["canary"]) == 0.2


def test_a_frozen_route_stays_and_its_alert_is_over_when_it_is_well(bench: Bench) -> None:
    quality = {"score": "groundedness", "floor": 0.7, "mode": "frozen", "cooldown_s": 0}
    score(bench, [0.1] * 60)
    (told,) = bench.look(**quality)
    assert (told.kind, told.state) == ("alert", "firing")
    assert "the route stays: its document says frozen" in told.message
    assert bench.state() == {}
    score(bench, [0.95] * 60)
    (told,) = bench.look(**quality)
    assert (told.kind, told.state) == ("alert", "resolved")


def test_when_redis_forgets_a_route_stays_where_the_trail_says_it_is(bench: Bench) -> None:
    quality = {"score": "groundedness", "floor": 0.7}
    score(bench, [0.1] * 60)
    bench.look(**quality)
    before = bench.state()
    bench.loop.redis.delete("spanledger:route:shop:answers")
    assert bench.look(**quality) == []
    assert bench.state() == before
