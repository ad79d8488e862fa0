"""The snapshot reads what it wrote, forgives the unknown and refuses the wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.serving.snapshot import (
    EMPTY,
    Budget,
    CacheRule,
    Price,
    ProjectSnapshot,
    QualityRule,
    Route,
    Snapshot,
    SnapshotError,
    SnapshotKey,
    Target,
    Upstream,
)

FULL = Snapshot(
    version="abc",
    keys=(SnapshotKey(id="k1", hash="00ff", project="default", team="search", scopes=("gateway",)),),
    projects={
        "default": ProjectSnapshot(
            upstreams={"openai": Upstream(base_url="https://api.openai.com/v1", key_env="OPENAI_API_KEY")},
            routes={
                "gpt-4o": Route(
                    targets=(
                        Target(upstream="openai", model="gpt-4o"),
                        Target(upstream="local", model="llama", role="fallback", weight=2),
                    ),
                    cache=CacheRule(ttl_s=60),
                    quality=QualityRule(score="groundedness", floor=0.8),
                )
            },
            budgets={
                "month": Budget(amount=Decimal("10.000000001"), scope={"team": "search"}, block_at=None)
            },
            prices=(
                Price(
                    name="p",
                    version=3,
                    provider="acme",
                    model="m",
                    from_=datetime(2026, 1, 1, tzinfo=UTC),
                    input=Decimal("0.15"),
                ),
            ),
        )
    },
)


@pytest.mark.parametrize("snapshot", [FULL, EMPTY], ids=["full", "empty"])
def test_reads_back_exactly_what_it_wrote(snapshot: Snapshot) -> None:
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_money_and_dates_travel_as_strings_and_from_is_spelled_from() -> None:
    written = json.loads(FULL.to_json())["projects"]["default"]
    assert written["budgets"]["month"]["amount"] == "10.000000001"
    assert written["prices"][0]["from"] == "2026-01-01T00:00:00+00:00"
    assert written["prices"][0]["output"] is None


def test_absent_fields_take_defaults_and_unknown_ones_are_ignored() -> None:
    text = '{"version": "1", "later": 1, "projects": {"p": {"budgets": {"b": {"amount": "5", "new": []}}}}}'
    budget = Snapshot.from_json(text).projects["p"].budgets["b"]
    assert budget == Budget(amount=Decimal(5))
    assert budget.block_at == 1.0


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "Expecting value"),
        ("[]", r"\$: expected dict"),
        ("{}", r"\$\.version is missing"),
        ('{"version": 1}', r"\$\.version: expected str, got int"),
        ('{"version": "1", "keys": [{"id": "a", "hash": "b"}]}', r"\$\.keys\[0\]\.project is missing"),
        (
            '{"version": "1", "projects": {"p": {"budgets": {"b": {"amount": "NaN"}}}}}',
            r"\.b\.amount: 'NaN' is not finite",
        ),
        (
            '{"version": "1", "projects": {"p": {"budgets": {"b": {"amount": 5.0}}}}}',
            r"\.b\.amount: expected str, got float",
        ),
        (
            '{"version": "1", "projects": {"p": {"upstreams": {"u": {"base_url": "x", "protocol": "x"}}}}}',
            r"\.u\.protocol: 'x' is none of openai, anthropic, vllm",
        ),
        (
            '{"version": "1", "projects": {"p": {"upstreams": {"u": {"base_url": "x", "timeout_s": true}}}}}',
            r"\.u\.timeout_s: expected float, got a boolean",
        ),
        (
            '{"version": "1", "projects": {"p": {"prices": [{"name": "n", "version": 1, "provider": "p",'
            ' "model": "m", "from": "soon"}]}}}',
            r"\.prices\[0\]\.from",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(text: str, path: str) -> None:
    with pytest.raises(SnapshotError, match=path):
        Snapshot.from_json(text)


def test_a_date_without_zone_is_utc() -> None:
    text = (
        '{"version": "1", "projects": {"p": {"prices": [{"name": "n", "version": 1, "provider": "p",'
        ' "model": "m", "from": "2026-01-01"}]}}}'
    )
    assert Snapshot.from_json(text).projects["p"].prices[0].from_ == datetime(2026, 1, 1, tzinfo=UTC)
