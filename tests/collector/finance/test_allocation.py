"""Untagged spend is borne by whom the rules name, no sum changes, and what no rule reaches stays in sight."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spanledger_collector.finance.allocation import allocate, needed, unallocated
from spanledger_collector.store.reads.ledger import Sum
from spanledger_collector.store.registry.finance import Allocation


def rule(**document: Any) -> Allocation:
    return Allocation.model_validate(document)


def line(team: str, service: str, cost: str, calls: int = 1) -> Sum:
    return Sum(group=(team, service), cost=Decimal(cost), calls=calls)


LINES = [
    line("a", "web", "3", 30),
    line("b", "web", "1", 10),
    line("", "search", "10", 5),
    line("", "batch", "2"),
]
NAMES = ["team", "service"]


def test_fixed_shares_move_money_and_leave_calls_where_they_were() -> None:
    shared = rule(match={"service": "search"}, shares={"a": "0.25", "b": "0.5"})
    found = {entry.group: entry for entry in allocate(LINES, NAMES, ["team"], [shared])}
    assert {group: entry.cost for group, entry in found.items()} == {
        ("a",): Decimal("5.5"), ("b",): Decimal(6), ("",): Decimal("4.5"),
    }  # fmt: skip
    assert (found["",].own.calls, found["",].moved) == (6, Decimal("-7.5"))


@pytest.mark.parametrize(("by", "of_a"), [("cost", "10.5"), ("calls", "10.5"), ("tokens", "3")])
def test_by_use_spreads_as_those_named_spend(by: str, of_a: str) -> None:
    found = {
        entry.group[0]: entry.cost
        for entry in allocate(LINES, NAMES, ["team"], [rule(match={"service": "search"}, by=by)])
    }
    assert found["a"] == Decimal(of_a)


def test_what_no_rule_reaches_stays_unallocated() -> None:
    found = allocate(LINES, NAMES, ["team"], [rule(match={"service": "search"}, by="cost")])
    assert unallocated(found, ["team"], "team") == 2
    assert needed(["team"], [rule(match={"service": "search"}, by="cost")]) == ["team", "service"]


def test_a_rule_for_a_dimension_that_is_not_shown_moves_nothing() -> None:
    found = allocate(
        [Sum(group=("", "x", ""), cost=Decimal(5))],
        ["team", "service", "feature"],
        ["team"],
        [rule(to="feature", by="cost")],
    )
    assert [(entry.group, entry.cost) for entry in found] == [(("",), Decimal(5))]


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["web", "search"]), st.integers(-(10**15), 10**18)),
        max_size=20, unique_by=lambda entry: entry[:2],
    )
)  # fmt: skip
def test_allocation_never_changes_the_whole(entries: list[tuple[str, str, int]]) -> None:
    lines = [Sum(group=(team, service), cost=Decimal(pico).scaleb(-12)) for team, service, pico in entries]
    rules = [
        rule(match={"service": "search"}, shares={"a": "0.333333333", "c": "0.1"}),
        rule(by="cost", order=1),
    ]
    found = allocate(lines, NAMES, NAMES, rules)
    assert sum(entry.cost for entry in found) == sum(entry.cost for entry in lines)
    assert sum(entry.moved for entry in found) == 0


@pytest.mark.parametrize(
    "document", [{}, {"by": "cost", "shares": {"a": "1"}}, {"shares": {"a": "0.6", "b": "0.6"}}, {"by": "cost", "match": {"team": "x"}}]
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rule(**document)
