"""Each kind says what it holds, refuses the rest with its place, and reads the same in the SDK."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any, cast

import pytest
from pydantic_core import PydanticUndefined

from spanledger.serving import snapshot
from spanledger_collector.store.registry import finance, serving
from spanledger_collector.store.registry.documents import KINDS, MODELS, parse, validate
from spanledger_collector.store.registry.errors import DocumentError
from spanledger_collector.store.registry.fields import Document

GOOD: dict[str, dict[str, Any]] = {
    "upstream": {"base_url": "http://127.0.0.1:8000/v1/", "protocol": "vllm", "allow_private": True},
    "route": {"targets": [{"upstream": "u", "model": "m"}], "quality": {"score": "g", "floor": 0.7}},
    "budget": {"amount": "10", "scope": {"team": "t"}, "block_at": "none"},
    "price": {
        "provider": "p",
        "model": "m",
        "from": "2026-01-01",
        "until": "2026-02-01T00:00:00+01:00",
        "input": 2,
    },
    "gpu_pool": {"hardware": "H100", "count": 8, "usd_per_hour": "2.5"},
    "key": {"hash": "a" * 64, "scopes": ["read", "ingest", "read"]},
    "member": {"role": "viewer"},
    "evaluator": {"scorers": ["groundedness"], "judge": {"route": "r"}, "daily_cap": "5"},
    "regression": {"dataset": "d", "route": "r", "scorers": ["exact_match"], "cap": "2"},
    "alert": {"metric": "error_rate", "threshold": 0.1, "channels": ["SLACK_URL"]},
    "prompt": {"template": [{"role": "system", "content": "Hi {{name}}"}], "labels": {"production": 1}},
    "dataset": {"cases": [{"question": "q"}], "anything": 1},
    "redaction": {"patterns": [{"name": "id", "regex": r"\d{4}"}]},
    "retention": {"spans_days": 30},
    "allocation": {"match": {"service": "search"}, "shares": {"a": "0.5"}},
    "currency": {"rates": [{"from": "2026-01-01", "per_usd": "0.92"}]},
    "invoice_source": {
        "provider": "openai",
        "columns": {"day": "Date", "amount": "Cost"},
        "rates": {"EUR": "1.08"},
    },
}


def named(kind: str) -> str:
    return {"member": "ann@example.com", "currency": "EUR"}.get(kind, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_each_kind_is_stored_as_written_and_reads_back(kind: str) -> None:
    stored = validate(kind, named(kind), GOOD[kind], "p")
    assert validate(kind, named(kind), stored, "p") == stored
    assert parse(kind, stored) == parse(kind, GOOD[kind] | ({"project": "p"} if kind == "key" else {}))


@pytest.mark.parametrize(
    ("kind", "changes", "path", "message"),
    [
        ("upstream", {"base_url": "https://me:pw@host"}, "base_url", "no user or password in a URL"),
        ("upstream", {"base_url": "file:///etc/passwd"}, "base_url", "expected http"),
        ("upstream", {"key_env": "sk-123"}, "key_env", "name the environment variable"),
        ("upstream", {"timeout_s": 0}, "timeout_s", "greater than 0"),
        ("upstream", {"timeout": 5}, "timeout", "unknown field; allowed: allow_private, base_url"),
        ("route", {"targets": []}, "targets", "at least 1 item"),
        (
            "route",
            {"targets": [{"upstream": "u", "model": "m", "role": "fallback"}]},
            "",
            'with role "primary"',
        ),
        (
            "route",
            {"targets": [{"upstream": "u", "model": "m", "weight": -1}]},
            "targets[0].weight",
            "greater",
        ),
        ("budget", {"amount": 0.1}, "amount", 'write it as a string, "0.1"'),
        ("budget", {"amount": "-1"}, "amount", "greater than"),
        ("budget", {"amount": "0.0000000001"}, "amount", "9 decimal places"),
        ("budget", {"alert_at": [1.0, 0.5]}, "", "alert_at must rise"),
        ("budget", {"scope": {"colour": "red"}}, "scope.colour.[key]", "input should be"),
        ("price", {"input": None}, "", "at least one rate"),
        ("price", {"until": "2025-01-01"}, "", "from must be before until"),
        ("price", {"from": "soon"}, "from", "valid datetime"),
        ("key", {"hash": "short"}, "hash", "pattern"),
        ("key", {"scopes": ["root"]}, "scopes[0]", "'ingest', 'read', 'gateway' or 'admin'"),
        ("key", {"project": "q"}, "", "cannot act for project 'q'"),
        ("member", {"role": "owner"}, "role", "'viewer', 'editor' or 'admin'"),
        ("evaluator", {"judge": {"route": "r", "upstream": "u"}}, "judge", "either a route or an upstream"),
        ("alert", {"channels": ["slack://token"]}, "channels[0]", "name the environment variable"),
        ("prompt", {"labels": {"production": 0}}, "labels.production", "greater than or equal to 1"),
        (
            "redaction",
            {"patterns": [{"name": "x", "regex": "("}]},
            "patterns[0].regex",
            "no regular expression",
        ),
        ("redaction", {"patterns": [{"name": "x", "regex": r"(a)\1"}]}, "patterns[0].regex", "linear time"),
        ("redaction", {"patterns": [{"name": "x", "regex": "a*"}]}, "patterns[0].regex", "match everywhere"),
        ("redaction", {"action": "hash"}, "", "needs hash_key_env"),
        (
            "redaction",
            {"detectors": ["names"]},
            "detectors[0]",
            "'secrets', 'card', 'iban', 'email' or 'phone'",
        ),
        ("retention", {"spans_days": 0}, "spans_days", "greater than or equal to 1"),
        ("invoice_source", {"time_zone": "Mars/Base"}, "time_zone", "IANA"),
        ("invoice_source", {"format": "generic", "columns": {}}, "", "needs columns"),
    ],
)
def test_what_a_kind_does_not_hold_is_refused_with_its_place(
    kind: str, changes: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        validate(kind, named(kind), GOOD[kind] | changes, "p")
    (problem,) = refused.value.problems
    assert (problem.where, message in problem.message) == (path, True), problem


@pytest.mark.parametrize("name", ["", " x", "x\n", "/x", "x/history", "a/diff", "é" * 201])
def test_a_name_that_no_address_could_carry_is_refused(name: str) -> None:
    with pytest.raises(DocumentError, match="a name"):
        validate("budget", name, GOOD["budget"], "p")


@pytest.mark.parametrize("name", ["Ann@example.com", "ann"])
def test_a_member_is_named_by_an_address_in_small_letters(name: str) -> None:
    with pytest.raises(DocumentError, match="small letters"):
        validate("member", name, GOOD["member"], "p")


def test_only_shared_kinds_may_stand_in_project_star() -> None:
    validate("upstream", "x", GOOD["upstream"], "*")
    with pytest.raises(
        DocumentError,
        match=r"only budget, currency, gpu_pool, key, member, price, redaction, upstream may stand",
    ):
        validate("route", "x", GOOD["route"], "*")


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_a_document_that_is_no_table_is_refused(kind: str, document: object) -> None:
    with pytest.raises(DocumentError):
        validate(kind, named(kind), document, "p")


PAIRS: list[tuple[type[Document], type]] = [
    (serving.Upstream, snapshot.Upstream),
    (serving.Target, snapshot.Target),
    (serving.CacheRule, snapshot.CacheRule),
    (serving.ShadowRule, snapshot.ShadowRule),
    (serving.QualityRule, snapshot.QualityRule),
    (serving.Route, snapshot.Route),
    (serving.Budget, snapshot.Budget),
    (finance.Price, snapshot.Price),
]
WORKERS_ONLY: defaultdict[type[Document], set[str]] = defaultdict(
    set[str],
    {
        serving.QualityRule: {
            "alpha", "max_switches_per_day", "mode", "guards", "probe_share", "probe_usd_per_day",
        },
        serving.Budget: {"forecast_at", "forecast_cheaper_at", "forecast_cache_only_at"},
    },
)  # fmt: skip
"""Fields that gateways have no use for."""


_BY_PLACE: dict[type, set[str]] = {snapshot.Price: {"name", "version"}, snapshot.Budget: {"project"}}
"""Fields that say where a document stands, and not what is in it."""


@pytest.mark.parametrize(("model", "value"), PAIRS, ids=[pair[1].__name__ for pair in PAIRS])
def test_fields_and_defaults_are_the_same_at_the_gateway(model: type[Document], value: type) -> None:
    """Documents are stored without defaults, so a gateway fills in its own: they must be the same."""
    theirs = {entry.name: entry for entry in dataclasses.fields(value)}
    extra = _BY_PLACE.get(value, set())
    shared = {name: ours for name, ours in model.model_fields.items() if name not in WORKERS_ONLY[model]}
    assert set(theirs) - extra == set(shared)
    for name, ours in shared.items():
        assert plain(ours.get_default(call_default_factory=True)) == plain(default(theirs[name])), name


def default(entry: dataclasses.Field[Any]) -> Any:
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return PydanticUndefined if entry.default is dataclasses.MISSING else entry.default


def plain(value: Any) -> Any:
    return list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value


def test_every_kind_has_a_model() -> None:
    assert set(MODELS) == set(KINDS) == set(GOOD)
