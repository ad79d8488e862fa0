"""The snapshot holds what gateways need of each project, and one unreadable document costs only itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spanledger.serving.budgets import BudgetBook
from spanledger.serving.snapshot import Snapshot
from spanledger_collector.store.registry.compile import compile_snapshot
from spanledger_collector.store.registry.plan import Version


def version(project: str, kind: str, name: str, document: dict[str, Any], number: int = 1) -> Version:
    return Version(project=project, kind=kind, name=name, version=number, document=document)


def key(project: str, name: str, owner: str, scopes: list[str], **more: Any) -> Version:
    return version(project, "key", name, {"hash": name * 8, "project": owner, "scopes": scopes, **more})


def test_shared_documents_are_seen_by_every_project_and_its_own_come_first() -> None:
    snapshot, skipped = compile_snapshot(
        [
            version("*", "upstream", "openai", {"base_url": "https://shared"}),
            version("*", "upstream", "claude", {"base_url": "https://shared", "protocol": "anthropic"}),
            version("a", "upstream", "openai", {"base_url": "https://own", "provider": "azure"}),
            version("b", "budget", "all", {"amount": "5"}),
        ]
    )
    assert skipped == []
    assert list(snapshot.projects) == ["a", "b"]
    a, b = snapshot.projects["a"].upstreams, snapshot.projects["b"].upstreams
    assert (a["openai"].base_url, a["openai"].provider) == ("https://own", "azure")
    assert (b["openai"].base_url, b["claude"].provider) == ("https://shared", "anthropic")
    assert snapshot.projects["b"].budgets["all"].amount == Decimal(5)
    assert snapshot.projects["a"].budgets == {}


def test_a_budget_over_all_projects_is_in_each_and_hidden_by_none() -> None:
    snapshot, skipped = compile_snapshot(
        [
            version("*", "budget", "company", {"amount": "100", "scope": {"organisation": "acme"}}),
            version("a", "budget", "company", {"amount": "100000"}),
            version("b", "route", "r", {"targets": [{"upstream": "u", "model": "m"}]}),
        ]
    )
    assert skipped == []
    books = {name: BudgetBook(p.budgets, name) for name, p in snapshot.projects.items()}
    now = datetime(2026, 5, 4, tzinfo=UTC).timestamp()
    keys = {
        name: [one.key for one in book.applied({"organisation": "acme"}, now)] for name, book in books.items()
    }
    shared = "spanledger:budget:*:company:2026-05-01"
    assert keys == {"a": [shared, "spanledger:budget:a:company:2026-05-01"], "b": [shared]}
    assert (
        books["a"].applied({"organisation": "other"}, now)[0].key == "spanledger:budget:a:company:2026-05-01"
    )


def test_only_usable_gateway_keys_leave_the_collector() -> None:
    snapshot, _ = compile_snapshot(
        [
            key("a", "good", "a", ["gateway", "ingest"], team="t"),
            key("a", "reader", "a", ["read"]),
            key("a", "revoked", "a", ["gateway"], revoked=True),
            key("*", "operator", "b", ["gateway"]),
        ]
    )
    assert [(entry.id, entry.project, entry.team) for entry in snapshot.keys] == [
        ("good", "a", "t"),
        ("operator", "b", ""),
    ]
    assert list(snapshot.projects) == ["a", "b"]


def test_prices_carry_their_name_and_version() -> None:
    document = {"provider": "acme", "model": "m", "input": "0.5", "from": "2026-01-01T00:00:00+00:00"}
    snapshot, _ = compile_snapshot([version("p", "price", "acme-m", document, number=4)])
    (price,) = snapshot.projects["p"].prices
    assert (price.name, price.version, price.input) == ("acme-m", 4, Decimal("0.5"))


def test_the_version_follows_the_content_alone() -> None:
    rows = [
        version("p", "upstream", "u", {"base_url": "https://u"}),
        version("p", "budget", "b", {"amount": "5"}),
    ]
    first, _ = compile_snapshot(rows)
    again, _ = compile_snapshot(reversed(rows))
    other, _ = compile_snapshot([rows[0]])
    assert first == again
    assert first.version != other.version
    assert Snapshot.from_json(first.to_json()) == first


def test_a_document_that_cannot_be_read_is_left_out_and_named() -> None:
    snapshot, skipped = compile_snapshot(
        [
            version("p", "route", "old", {"target": "x"}, number=3),
            version("p", "upstream", "u", {"base_url": "https://u"}),
        ]
    )
    assert list(snapshot.projects["p"].upstreams) == ["u"]
    assert skipped == ["p/route/old@3: $.targets is missing"]
