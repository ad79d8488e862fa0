"""Routing, health, retries, limits, engines, cache keys: decisions from plain values."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.serving.asks import Ask, BadRequestError, parse
from spanledger.serving.budgets import BudgetBook, counter_key, nano, period_end, period_start
from spanledger.serving.caching import Entry, MemoryCache, Partition, exact_key
from spanledger.serving.engine import Engine, read
from spanledger.serving.failures import of_status, wait_before_retry
from spanledger.serving.health import HealthBook, State
from spanledger.serving.limits import RateLimits
from spanledger.serving.routing import PRIMARY, RouteState, order, sticky_draw
from spanledger.serving.snapshot import Budget, Route, Target


class Places:
    """Targets' states by model name; healthy and idle where nothing is said."""

    def __init__(self, states: dict[str, State] | None = None, loads: dict[str, float] | None = None) -> None:
        self.states = states or {}
        self.loads = loads or {}
        self.full: set[str] = set()

    def state(self, target: Target) -> State:
        return self.states.get(target.model, "closed")

    def badness(self, target: Target) -> tuple[float, float]:
        return (self.loads.get(target.model, 0.0), 0.0)

    def load(self, target: Target) -> float:
        return self.loads.get(target.model, 0.0)

    def is_full(self, target: Target) -> bool:
        return target.model in self.full


ROUTE = Route(
    targets=(
        Target(upstream="u", model="a", weight=3),
        Target(upstream="u", model="b", weight=1),
        Target(upstream="u", model="c", role="fallback"),
    )
)


def names(route: Route = ROUTE, places: Places | None = None, **more: Any) -> str:
    given: dict[str, Any] = {"state": PRIMARY, "call": {}, "draw": 0.0, **more}
    return "".join(t.model for t in order(route, places=places or Places(), **given))


def test_the_draw_picks_the_first_primary_by_weight_and_fallbacks_come_last() -> None:
    assert (names(draw=0.0), names(draw=0.74), names(draw=0.76)) == ("abc", "abc", "bac")


def test_a_route_on_its_fallback_keeps_its_canary() -> None:
    state = RouteState(state="fallback", canary=0.1)
    assert names(state=state, canary_draw=0.5) == "cab"
    assert names(state=state, canary_draw=0.05) == "abc"


def test_cooling_targets_come_last_the_least_bad_first_and_half_open_ones_keep_their_place() -> None:
    places = Places({"a": "open", "b": "half_open"})
    assert names(places=places) == "bca"
    assert names(places=Places({"a": "open", "b": "open", "c": "open"}, {"a": 9, "b": 5, "c": 7})) == "bca"


def test_full_engines_come_after_all_that_are_ready() -> None:
    places = Places()
    places.full = {"a", "b"}
    assert names(places=places) == "cab"


@given(st.integers(0, 10_000))
def test_sticky_draws_are_stable(subject: int) -> None:
    assert 0 <= sticky_draw("r", str(subject)) < 1
    assert sticky_draw("r", str(subject)) == sticky_draw("r", str(subject))


def test_sticky_draws_are_spread_evenly() -> None:
    counts = Counter(int(sticky_draw("r", str(i)) * 4) for i in range(4000))
    assert all(850 < counts[quarter] < 1150 for quarter in range(4))


def test_a_target_cools_down_after_three_failures_then_lets_one_probe_through() -> None:
    book = HealthBook()
    for _ in range(3):
        assert book.state("t", 0) == "closed"
        book.failed("t", 0)
    assert (book.state("t", 4.9), book.state("t", 5.1)) == ("open", "half_open")
    book.begin("t", 5.1)
    assert book.state("t", 5.2) == "open"
    book.failed("t", 5.2)
    assert (book.state("t", 15.1), book.state("t", 15.3)) == ("open", "half_open")
    book.begin("t", 15.3)
    book.succeeded("t")
    assert book.state("t", 15.4) == "closed"


def test_a_retry_after_cools_down_at_once_and_a_lost_probe_is_replaced() -> None:
    book = HealthBook()
    book.failed("t", 0, retry_after_s=20)
    assert (book.state("t", 19), book.state("t", 21)) == ("open", "half_open")
    book.begin("t", 21)
    assert (book.state("t", 100), book.state("t", 200)) == ("open", "half_open")
    book.begin("t", 200)
    book.abandoned("t")
    assert book.state("t", 201) == "half_open"


@pytest.mark.parametrize(
    ("status", "at_target"),
    [(400, False), (413, False), (422, False), (401, True), (404, True), (429, True), (503, True)],
)
def test_which_statuses_are_the_target_s_fault(status: int, at_target: bool) -> None:
    assert of_status(status, b"", "").is_target_at_fault is at_target


def test_retries_are_few_patient_and_within_the_deadline() -> None:
    assert wait_before_retry(0, 3.0, now=0, deadline=10, draw=0.5) == 3.0
    assert wait_before_retry(0, 3.0, now=8, deadline=10, draw=0.5) is None
    assert wait_before_retry(2, None, now=0, deadline=10, draw=0.5) is None
    assert 0.1 < (wait_before_retry(0, None, now=0, deadline=10, draw=0.0) or 0) < 0.3


def test_a_minute_s_worth_may_come_at_once_and_then_refills_evenly() -> None:
    limits = RateLimits()
    assert [limits.wait("k", "requests", 60, 1, 0.0) for _ in range(60)] == [0.0] * 60
    assert limits.wait("k", "requests", 60, 1, 0.0) == pytest.approx(1.0)
    assert limits.wait("k", "requests", 60, 1, 1.0) == 0.0
    assert limits.wait("other", "requests", 60, 1, 1.0) == 0.0
    limits.correct("k", "requests", 30)
    assert limits.wait("k", "requests", 60, 1, 1.0) == pytest.approx(31.0)


def test_a_real_scrape_of_vllm_is_read(test_data: Path) -> None:
    engine = read((test_data / "vllm/metrics-0.32-cpu.txt").read_text())
    assert (engine.running, engine.waiting) == (0, 0)
    assert engine.kv_usage == 0.0
    assert engine.prefix_hits is not None
    assert 0 < engine.prefix_hits < 1


def test_old_metric_names_are_read_and_unknown_ones_are_unknown() -> None:
    text = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3.0
vllm:num_requests_waiting{model_name="m"} 2.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
vllm:gpu_prefix_cache_hits_total{model_name="m"} 30
vllm:gpu_prefix_cache_hits_created{model_name="m"} 1.7e9
vllm:gpu_prefix_cache_queries_total{model_name="m"} 120
"""
    assert read(text) == Engine(running=3, waiting=2, kv_usage=0.25, prefix_hits=0.25)
    assert read("process_cpu_seconds_total 1\nvllm:num_requests_running NaN") == Engine()


NOW = datetime(2026, 2, 11, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", "2026-02-11", "2026-02-12"),
        ("week", "2026-02-09", "2026-02-16"),
        ("month", "2026-02-01", "2026-03-01"),
    ],
)
def test_periods_start_and_end_at_midnight_utc(period: str, start: str, end: str) -> None:
    found = period_start(period, NOW), period_end(period, NOW)
    assert [one.isoformat() if one else None for one in found] == [
        f"{start}T00:00:00+00:00",
        f"{end}T00:00:00+00:00",
    ]
    assert counter_key("p", "b", period, NOW) == f"spanledger:budget:p:b:{start}"


def test_a_total_never_resets() -> None:
    assert period_end("total", NOW) is None
    assert counter_key("p", "b", "total", NOW).endswith(":1970-01-01")


def test_a_book_of_budgets_knows_the_day_and_each_stage() -> None:
    budget = Budget(
        amount=Decimal("1.5"), period="day", cache_only_at=0.9, cheaper_at=0.5, scope={"team": "t"}
    )
    book = BudgetBook({"b": budget}, "p")
    (today,) = book.applied({"team": "t"}, NOW.timestamp())
    (tomorrow,) = book.applied({"team": "t"}, NOW.timestamp() + 86_400)
    assert book.applied({"team": "u"}, NOW.timestamp()) == []
    assert (today.key, tomorrow.key) == (
        "spanledger:budget:p:b:2026-02-11",
        "spanledger:budget:p:b:2026-02-12",
    )
    assert (today.limit, today.is_cache_only, today.cheaper_from) == (
        nano(Decimal("1.35")),
        True,
        nano(Decimal("0.75")),
    )


BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2}
FIELDS = ("project", "team", "route", "variant", "user")


def ask(**changes: Any) -> Ask:
    return parse("chat", orjson.dumps({**BODY, **changes}))


def test_delivery_and_field_order_do_not_change_the_key_and_everything_else_does() -> None:
    partition = Partition(project="p", team="t", route="r")
    key = exact_key(partition, ask())
    assert exact_key(partition, parse("chat", orjson.dumps(dict(reversed(BODY.items()))))) == key
    assert exact_key(partition, ask(stream=True, user="u", metadata={"a": "b"})) == key
    changes: list[dict[str, Any]] = [
        {"temperature": 0.3},
        {"tools": []},
        {"seed": 1},
        {"messages": []},
        {"new_field": 1},
    ]
    for change in changes:
        assert exact_key(partition, ask(**change)) != key


@given(st.sampled_from(FIELDS), st.text(min_size=1), st.text(min_size=1))
def test_nothing_crosses_a_partition(field: str, one: str, other: str) -> None:
    base = {"project": "p", "team": "t", "route": "r"}
    keys = {exact_key(Partition(**{**base, field: value}), ask()) for value in (one, other)}
    assert len(keys) == len({one, other})


def test_neighbouring_parts_of_a_partition_do_not_run_together() -> None:
    left = Partition(project="ab", team="c", route="r")
    assert exact_key(left, ask()) != exact_key(Partition(project="a", team="bc", route="r"), ask())


def test_an_entry_survives_its_encoding_and_strangers_are_no_entries() -> None:
    entry = Entry(body=b'{"a":1}\n{"b":2}', stored_at=5, model="m", cost="0.1")
    assert Entry.decode(entry.encode()) == entry
    assert [Entry.decode(data) for data in (b"", b"{}", b'{"v":2}\nx', b"[]\nx", b"\xff\n")] == [None] * 5


def test_memory_forgets_what_is_old_unused_or_too_large() -> None:
    cache = MemoryCache(80)
    cache.put("old", b"12345", expires_at=10)
    assert (cache.get("old", 9), cache.get("old", 10)) == (b"12345", None)
    cache.put("huge", b"x" * 11, expires_at=100)
    assert cache.get("huge", 0) is None
    for number in range(9):
        cache.put(str(number), b"x" * 10, expires_at=100)
        cache.get("0", 0)
    assert cache.get("0", 0) is not None
    assert cache.get("1", 0) is None


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"model":1}', b'{"model":"m"}', b'{"model":"m","messages":[],"max_tokens":-1}']
)
def test_a_request_that_can_never_be_served_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse("chat", raw)
