"""Sums of hours and days tell what the spans themselves would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from spanledger.records import CallRecord
from spanledger.semconv import REASON_REQUEST
from spanledger_collector.store.migrations import read_migrations
from spanledger_collector.store.reads.calls import SUMMED, CallFilter, calls, count_calls, values
from spanledger_collector.store.reads.overview import Measures, series, totals
from spanledger_collector.store.reads.people import Order, Person, PersonAfter, Who, people
from spanledger_collector.store.reads.rules import CALLS
from spanledger_collector.store.reads.serving import cache_use
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

START = NOON // DAY * DAY
WHOLE = Window(START, START + 4 * DAY)
ODD = Window(WHOLE.start - 1, WHOLE.end - 1)
"""The same calls, but no sums of days or hours can tell of this window."""


def _rows(seed: int, number: int) -> list[CallRecord]:
    chance = random.Random(seed)
    return [_row(chance, seed * 10_000 + at) for at in range(number)]


def _row(chance: random.Random, number: int) -> CallRecord:
    kind = chance.choice(["call", "call", "call", "step", "refused", "request"])
    status = chance.choice(["ok", "ok", "ok", "cut", "error"])
    cache = chance.choice(["", "off", "miss", "exact", "semantic"])
    more: dict[str, Any] = {
        "call": {},
        "step": {"billable": False, "cost_total": None, "operation": ""},
        "refused": {
            "billable": False,
            "billable_reason": REASON_REQUEST,
            "status": "error",
            "cost_total": None,
        },
        "request": {"billable": False, "billable_reason": REASON_REQUEST, "status": "ok", "cost_total": None},
    }[kind]
    given: dict[str, Any] = {
        "trace_id": chance.randrange(1, 40).to_bytes(16, "big"),
        "start_time": START + chance.randrange(1, 4 * DAY // 10**9) * 10**9 + number,
        "duration_ns": int(chance.lognormvariate(0, 1) * 1e9),
        "ttft_ns": chance.choice([None, int(chance.lognormvariate(-1, 0.5) * 1e9)]),
        "status": status,
        "cache": cache,
        "cost_total": chance.choice([None, Decimal(chance.randrange(10**6)) / 10**6]),
        "cost_saved": chance.choice([None, Decimal("0.25")]) if cache in ("exact", "semantic") else None,
        "request_model": chance.choice(["gpt-4o", "claude"]),
        "response_model": chance.choice(["", "gpt-4o-2024"]),
        "team": chance.choice(["", "a", "b"]),
        "route": chance.choice(["", "r", "s"]),
        "user_id": chance.choice(["", "ana", "bo", "céline"]),
        "session_id": chance.choice(["", "s1", "s2", "s3", "s4"]),
    }
    return call(number, chance.choice(["p", "p", "p", "other"]), **(given | more))


@pytest.fixture
def filled(store: Store) -> Store:
    for seed in (1, 2, 3):
        insert(store.client, *_rows(seed, 300))
    return store


def _near(one: Measures, other: Measures) -> None:
    counts = ("calls", "errors", "cut", "cache_hits")
    assert [getattr(one, name) for name in counts] == [getattr(other, name) for name in counts]
    for name in ("p50_ns", "p95_ns", "ttft_p50_ns"):
        # The nearest rank of few calls may be the next one, so only the middle of many is compared closely.
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None)
        if mine is not None and one.calls > 300:
            assert mine == pytest.approx(theirs, rel=0.05)


def test_the_views_count_what_the_rules_call_a_call() -> None:
    (schema,) = [each.sql for each in read_migrations() if each.name.startswith("0015")]
    assert schema.count(f"WHERE {CALLS[1:-1]}\n") == 2


@pytest.mark.clickhouse
def test_totals_and_series_of_whole_hours_are_those_of_the_calls(filled: Store) -> None:
    whole, odd = totals(filled.client, "p", WHOLE), totals(filled.client, "p", ODD)
    assert whole.calls > 300
    _near(whole, odd)
    assert (whole.cost, whole.saved, whole.unpriced) == (odd.cost, odd.saved, odd.unpriced)

    hours = Window(START + 5 * HOUR, START + 29 * HOUR)
    for step in (3600, 6 * 3600):
        summed = series(filled.client, "p", hours, step)
        told = series(filled.client, "p", Window(hours.start - 1, hours.end - 1), step)
        for at in summed:
            _near(summed[at], told[at])
        assert sum(one.calls for one in summed.values()) > 20


@pytest.mark.clickhouse
def test_calls_are_counted_by_every_filter_that_is_summed(filled: Store) -> None:
    asked: list[dict[str, str]] = [{}]
    for name in sorted(SUMMED):
        found = values(filled.client, "p", WHOLE, name)
        listed = {
            str(row[name])
            for row in calls(filled.client, "p", WHOLE, CallFilter(), limit=1000)
            if row[name] != ""
        }
        assert set(found) == listed
        asked += [{name: value} for value in found]
    asked.append({"team": "a", "cache": "miss", "status": "error"})
    for equal in asked:
        which = CallFilter(equal=equal)
        assert which.summed
        assert count_calls(filled.client, "p", WHOLE, which) == count_calls(filled.client, "p", ODD, which)
    assert not CallFilter(unpriced=True).summed
    assert not CallFilter(show="all").summed
    assert not CallFilter(equal={"user_id": "ana"}).summed


@pytest.mark.clickhouse
@pytest.mark.parametrize(("by", "step"), [("", None), ("", 6 * 3600), ("route", None), ("team", None)])
def test_use_of_the_cache_is_that_of_the_calls(filled: Store, by: str, step: int | None) -> None:
    def told(window: Window) -> list[tuple[object, ...]]:
        return [
            (one.group, one.bucket, one.exact, one.semantic, one.missed, one.off, one.saved, one.unpriced)
            for one in cache_use(filled.client, "p", window, by, step)
        ]

    assert told(WHOLE) == told(ODD) != []


@pytest.mark.clickhouse
def test_what_a_hit_and_a_miss_take_is_near_the_calls_own(filled: Store) -> None:
    (whole,) = cache_use(filled.client, "p", WHOLE)
    (odd,) = cache_use(filled.client, "p", ODD)
    assert whole.hit_p50_ns == pytest.approx(odd.hit_p50_ns, rel=0.05)
    assert whole.miss_p50_ns == pytest.approx(odd.miss_p50_ns, rel=0.05)


@pytest.mark.clickhouse
@pytest.mark.parametrize("who", ["user_id", "session_id"])
@pytest.mark.parametrize("order", ["last", "cost", "calls"])
def test_people_of_whole_days_are_those_of_the_spans_page_by_page(
    filled: Store, who: Who, order: Order
) -> None:
    def pages(window: Window, limit: int) -> list[Person]:
        found: list[Person] = []
        after: PersonAfter | None = None
        while page := people(filled.client, "p", window, who, order=order, limit=limit, after=after):
            found += page
            after = PersonAfter(
                format(getattr(page[-1], order), "f" if order == "cost" else "d"), page[-1].id
            )
        return found

    spans = [_told(person, who) for person in pages(ODD, 100)]
    assert len(spans) == (3 if who == "user_id" else 4)
    for limit in (1, 2, 100):
        assert [_told(person, who) for person in pages(WHOLE, limit)] == spans


@pytest.mark.clickhouse
def test_the_latest_people_are_found_by_their_last_days_and_told_of_the_whole_window(store: Store) -> None:
    early = [call(1, user_id="ana", start_time=START + HOUR), call(2, user_id="bo", start_time=START + HOUR)]
    late = [call(number, user_id="ana", start_time=START + 3 * DAY + number) for number in (3, 4)]
    insert(store.client, *early, *late)

    (ana,) = people(store.client, "p", WHOLE, "user_id", limit=1)
    assert (ana.id, ana.calls, ana.first) == ("ana", 3, START + HOUR)
    assert [person.id for person in people(store.client, "p", WHOLE, "user_id", limit=2)] == ["ana", "bo"]


def _told(person: Person, who: Who) -> Sequence[object]:
    return (
        person.id, person.calls, person.traces, person.errors, person.unpriced, person.cost, person.first, person.last,
        person.users if who == "session_id" else person.sessions,
    )  # fmt: skip
