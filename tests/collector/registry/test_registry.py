"""The registry keeps every version, refuses what is wrong and never loses a race."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from spanledger_collector.store.reads.events import events
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.errors import (
    ConflictError,
    DocumentError,
    InUseError,
    NotFoundError,
)
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

OPENAI = {"base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY"}
ROUTE = {"targets": [{"upstream": "openai", "model": "gpt-4o"}]}


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def announced() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def registry(store: Store, announced: list[tuple[str, str, str]]) -> Registry:
    ticks = itertools.count(1_700_000_000_000_000_000)
    return Registry(
        store.client, announce=lambda p, k, n: announced.append((p, k, n)), clock=lambda: next(ticks)
    )


def upstream(document: dict[str, Any], base: int | None = None) -> Draft:
    return Draft(kind="upstream", name="openai", document=document, base_version=base)


def test_a_change_is_a_new_version_and_the_old_one_stays(registry: Registry, project: str) -> None:
    first = registry.put(project, upstream(OPENAI), author="ann", note="first")
    second = registry.put(project, upstream({**OPENAI, "timeout_s": 5}), author="bob", note="faster")
    assert (first.version, second.version) == (1, 2)
    assert registry.get(project, "upstream", "openai") == second
    assert registry.history(project, "upstream", "openai") == [second, first]
    assert registry.get(project, "upstream", "openai", 1).document == OPENAI


def test_the_same_document_again_changes_nothing(
    registry: Registry, project: str, announced: list[tuple[str, str, str]]
) -> None:
    first = registry.put(project, upstream(OPENAI), author="ann")
    assert registry.put(project, upstream(dict(OPENAI)), author="bob") == first
    assert announced == [(project, "upstream", "openai")]


def test_a_stale_base_version_is_refused(registry: Registry, project: str) -> None:
    registry.put(project, upstream(OPENAI, base=0), author="ann")
    with pytest.raises(ConflictError, match="is at version 1, not 0"):
        registry.put(project, upstream({**OPENAI, "timeout_s": 5}, base=0), author="bob")


def test_all_documents_are_checked_before_any_is_written(registry: Registry, project: str) -> None:
    drafts = [
        upstream(OPENAI),
        Draft(kind="budget", name="b", document={"amount": 1.5, "perod": "day"}),
        Draft(kind="route", name="r", document={"targets": [{"upstream": "nowhere", "model": "m"}]}),
    ]
    with pytest.raises(DocumentError) as refused:
        registry.apply(project, drafts, author="ann")
    assert {(p.kind, p.where): p.message for p in refused.value.problems} == {
        ("budget", "amount"): 'money is exact: write it as a string, "1.5"',
        (
            "budget",
            "perod",
        ): "unknown field; allowed: alert_at, amount, block_at, cache_only_at, cheaper_at, cheaper_route, covers, forecast_at, forecast_cache_only_at, forecast_cheaper_at, period, scope",
        ("route", "targets[0].upstream"): f"there is no upstream 'nowhere' in project {project!r} or '*'",
    }
    assert registry.list([project]) == []


def test_documents_of_one_file_may_refer_to_each_other_in_any_order(registry: Registry, project: str) -> None:
    drafts = [Draft(kind="route", name="r", document=ROUTE), upstream(OPENAI)]
    changes = registry.apply(project, drafts, author="ann")
    assert [(change.kind, change.action) for change in changes] == [
        ("upstream", "create"),
        ("route", "create"),
    ]


def test_a_plan_shows_the_differences_and_writes_nothing(registry: Registry, project: str) -> None:
    registry.put(project, upstream(OPENAI), author="ann")
    (change,) = registry.plan(project, [upstream({**OPENAI, "timeout_s": 5})])
    assert (change.action, change.base_version) == ("change", 1)
    assert [(d.path, d.before, d.after) for d in change.differences] == [("timeout_s", None, 5.0)]
    assert len(registry.history(project, "upstream", "openai")) == 1


def test_rollback_stores_the_old_document_as_the_newest_version(registry: Registry, project: str) -> None:
    registry.put(project, upstream(OPENAI), author="ann")
    registry.put(project, upstream({**OPENAI, "timeout_s": 5}), author="ann")
    back = registry.rollback(project, "upstream", "openai", 1, author="bob")
    assert (back.version, back.document, back.note) == (3, OPENAI, "rollback to version 1")
    with pytest.raises(NotFoundError, match="no version 9"):
        registry.rollback(project, "upstream", "openai", 9, author="bob")


def test_a_deleted_document_is_gone_but_its_history_stays_and_it_may_return(
    registry: Registry, project: str
) -> None:
    registry.put(project, upstream(OPENAI), author="ann")
    registry.delete(project, "upstream", "openai", author="ann", note="bye")
    with pytest.raises(NotFoundError):
        registry.get(project, "upstream", "openai")
    assert registry.list([project]) == []
    assert [row.deleted for row in registry.history(project, "upstream", "openai")] == [True, False]
    assert registry.put(project, upstream(OPENAI), author="bob").version == 3


def test_what_others_refer_to_cannot_be_deleted(registry: Registry, project: str) -> None:
    registry.apply(project, [upstream(OPENAI), Draft(kind="route", name="r", document=ROUTE)], author="ann")
    with pytest.raises(InUseError, match="is used by route 'r'"):
        registry.delete(project, "upstream", "openai", author="ann")


def test_a_label_cannot_stand_for_a_version_that_does_not_exist(registry: Registry, project: str) -> None:
    def prompt(**labels: int) -> Draft:
        return Draft(kind="prompt", name="greet", document={"template": "Hi", "labels": labels})

    registry.put(project, prompt(production=1), author="ann")
    registry.put(project, prompt(production=1, next=2), author="ann")
    with pytest.raises(DocumentError, match=r"labels\.production: there is no version 4; this one is 3"):
        registry.put(project, prompt(production=4), author="ann")


def test_a_hash_belongs_to_one_key_only(registry: Registry, project: str) -> None:
    document = {"hash": uuid.uuid4().hex * 2, "scopes": ["read"]}
    registry.put(project, Draft(kind="key", name="a", document=document), author="ann")
    for owner, name in ((project, "b"), (f"{project}-thief", "a")):
        with pytest.raises(DocumentError, match="another key has this hash"):
            registry.put(owner, Draft(kind="key", name=name, document=document), author="eve")


def test_of_many_writers_with_one_base_version_exactly_one_wins(registry: Registry, project: str) -> None:
    registry.put(project, upstream(OPENAI), author="ann")
    outcomes = at_once(
        8,
        lambda i: registry.put(project, upstream({**OPENAI, "timeout_s": i + 1}, base=1), author=f"w{i}"),
        ConflictError,
    )
    winners = [outcome for outcome in outcomes if outcome is not None]
    history = registry.history(project, "upstream", "openai")
    assert len(winners) == 1
    assert [row.version for row in history] == [2, 1]


def test_of_many_writers_without_base_version_none_is_lost(registry: Registry, project: str) -> None:
    outcomes = at_once(
        4,
        lambda i: registry.put(project, upstream({**OPENAI, "timeout_s": i + 1}), author=f"w{i}"),
        ConflictError,
    )
    history = registry.history(project, "upstream", "openai")
    assert all(outcomes)
    assert [row.version for row in history] == [4, 3, 2, 1]
    assert {row.author for row in history} == {"w0", "w1", "w2", "w3"}


def test_of_many_writers_of_several_documents_each_change_is_whole(registry: Registry, project: str) -> None:
    """Two documents in one change never come from two writers."""

    def both(i: int) -> list[Draft]:
        return [
            Draft(kind="upstream", name=name, document={**OPENAI, "timeout_s": i + 1}) for name in ("a", "b")
        ]

    outcomes = at_once(6, lambda i: registry.apply(project, both(i), author=f"w{i}"), ConflictError)
    assert all(outcomes)
    first, second = (registry.history(project, "upstream", name) for name in ("a", "b"))
    assert [row.version for row in first] == [6, 5, 4, 3, 2, 1]
    assert [row.author for row in first] == [row.author for row in second]


def test_conflict_in_one_document_of_a_change_writes_none(registry: Registry, project: str) -> None:
    registry.put(project, upstream(OPENAI), author="ann")
    drafts = [
        Draft(kind="upstream", name="new", document=OPENAI),
        upstream({**OPENAI, "timeout_s": 9}, base=7),
    ]
    with pytest.raises(ConflictError):
        registry.apply(project, drafts, author="bob")
    assert [row.name for row in registry.list([project])] == ["openai"]


def test_each_change_is_an_event_on_the_timeline(registry: Registry, project: str, store: Store) -> None:
    registry.put(project, upstream(OPENAI), author="ann", note="first")
    registry.put(project, upstream({**OPENAI, "timeout_s": 5}), author="bob", note="faster")
    registry.put(project, upstream({**OPENAI, "timeout_s": 5}), author="bob", note="the same again")
    registry.delete(project, "upstream", "openai", author="cid", note="gone")
    found = events(store.client, project, Window(0, 2**62))
    assert [(event.kind, event.subject, event.title, event.message, event.author) for event in found] == [
        ("config_change", "upstream/openai", "upstream openai deleted", "gone", "cid"),
        ("config_change", "upstream/openai", "upstream openai changed to version 2", "faster", "bob"),
        ("config_change", "upstream/openai", "upstream openai created", "first", "ann"),
    ]
    assert json.loads(found[0].evidence) == {
        "kind": "upstream", "name": "openai", "version": "3", "deleted": "true",
    }  # fmt: skip


def test_change_that_lost_its_race_is_no_event(registry: Registry, store: Store) -> None:
    for race in range(5):  # one in three went wrong while the insert itself wrote the event
        project = f"race-{race}"
        at_once(
            4,
            lambda i, to=project: registry.put(to, upstream({**OPENAI, "timeout_s": i + 1}), author=f"w{i}"),
            ConflictError,
        )
        found = events(store.client, project, Window(0, 2**62))
        stored = registry.history(project, "upstream", "openai")
        assert sorted(event.author for event in found) == ["w0", "w1", "w2", "w3"]
        assert [event.author for event in found] == [version.author for version in stored]


def at_once(n: int, action: Callable[[int], Any], forgiven: type[Exception]) -> list[Any]:
    """Run ``action`` in ``n`` threads from one barrier; None where it raised ``forgiven``."""
    barrier, results = threading.Barrier(n), [None] * n

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = action(i)
        except forgiven:
            results[i] = None

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
