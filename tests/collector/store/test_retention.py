"""Rows go when their project's retention says so, and not before."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.retention import (
    Days,
    RetentionKeeper,
    apply_retention,
    registry_rules,
    retention_statements,
    strictest,
)
from tests.stores import Store

NASTY = "it's \\ a `project` -- x"


def fill(store: Store) -> None:
    """A row of each age, in days, for each of three projects."""
    now = datetime.now(UTC)
    rows = [[project, now - timedelta(days=age)] for project in ("a", "b", NASTY) for age in (1, 10, 100)]
    store.client.insert("spans", rows, ["project", "start_time"])


def ages(store: Store) -> set[tuple[str, int]]:
    store.client.command("OPTIMIZE TABLE spans FINAL")
    rows = store.client.query("SELECT project, dateDiff('day', start_time, now()) FROM spans").result_rows
    return {(project, days) for project, days in rows}


@pytest.mark.clickhouse
def test_each_project_keeps_its_rows_for_its_own_time(store: Store) -> None:
    fill(store)
    rules = {"a": Days(spans=5), NASTY: Days(spans=50), "*": Days(spans=None)}
    assert set(apply_retention(store.client, rules)) >= {"spans", "dead_letters"}
    assert ages(store) == {("a", 1), (NASTY, 1), (NASTY, 10), ("b", 1), ("b", 10), ("b", 100)}


@pytest.mark.clickhouse
def test_rules_are_applied_once_and_again_when_they_change(store: Store) -> None:
    client = store.client
    assert apply_retention(client, {}) == []
    assert "events" in apply_retention(client, {"a": Days(events=5)})
    assert apply_retention(client, {"a": Days(events=5)}) == []
    assert apply_retention(client, {"a": Days(events=6)}) == ["events"]
    fill(store)
    apply_retention(client, {"a": Days(spans=5)})
    apply_retention(client, {})
    fill(store)
    assert ("a", 100) in ages(store)


@pytest.mark.clickhouse
def test_what_is_kept_equally_long_by_all_goes_by_whole_months(store: Store) -> None:
    apply_retention(store.client, {"*": Days(spans=30)})
    made = store.client.command(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'spans'"
    )
    assert "ttl_only_drop_parts = 1" in str(made)
    assert "toIntervalDay(30)" in str(made)


@pytest.mark.clickhouse
def test_a_document_of_the_registry_takes_effect_by_itself(store: Store) -> None:
    registry = Registry(store.client)
    keeper = RetentionKeeper(store.client, registry, interval_s=0.1)
    assert keeper.look() == []
    fill(store)
    keeper.start()
    registry.put("a", Draft(kind="retention", name="short", document={"spans_days": 5}), "tester")
    registry.put("a", Draft(kind="retention", name="long", document={"spans_days": 50}), "tester")
    assert registry_rules(registry) == {"a": Days(spans=5)}
    deadline = time.monotonic() + 20
    while ("a", 10) in ages(store):
        assert time.monotonic() < deadline
    assert ages(store) >= {("a", 1), ("b", 100)}
    keeper.stop()


day = st.none() | st.integers(1, 36500)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.builds(Days, day, day, day)), max_size=6))
def test_of_several_rules_the_shortest_holds(rules: list[tuple[str, Days]]) -> None:
    found = strictest(rules)
    for project, rule in rules:
        kept = found[project]
        assert rule.spans is None or (kept.spans is not None and kept.spans <= rule.spans)
    assert all(
        kept.spans in [rule.spans for name, rule in rules if name == project]
        for project, kept in found.items()
    )


@given(st.dictionaries(st.text(max_size=20), day, max_size=4))
def test_the_same_rules_always_make_the_same_statements(days: dict[str, int | None]) -> None:
    turned = dict(reversed(days.items()))
    assert retention_statements("spans", "start_time", days) == retention_statements(
        "spans", "start_time", turned
    )
