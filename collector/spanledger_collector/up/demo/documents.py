"""The registry documents of the demo: where the stand-ins are and what may be spent in, drafts out. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

ASSISTANT = "assistant"  # the route whose quality is watched
ANALYST = "analyst"  # the dear route that runs into its budget
EMBEDDING = "text-embedding-3-small"
BUDGET_TEAM = "research"
TEAMS = ("search", "support", BUDGET_TEAM)
ALLOWANCE = Decimal("0.08")  # USD that one showing may spend on the budgeted team
FLOOR = 0.62


def documents(
    primary_url: str, backup_url: str, keys: Mapping[str, str], spent: Decimal
) -> list[dict[str, Any]]:
    """Every document; ``keys`` are the teams' gateway keys, ``spent`` what the budget's team spent today."""
    made: list[dict[str, Any]] = []

    def add(kind: str, name: str, **document: Any) -> None:
        made.append({"kind": kind, "name": name, "document": document})

    near = {"allow_private": True, "timeout_s": 20, "first_token_timeout_s": 10}
    add("upstream", "demo-primary", base_url=f"{primary_url}/v1", protocol="openai", **near)
    add(
        "upstream",
        "demo-backup",
        base_url=f"{backup_url}/v1",
        protocol="vllm",
        metrics_url=f"{backup_url}/metrics",
        **near,
    )
    add(
        "price",
        "demo-llama",
        provider="vllm",
        model="llama-3.1-8b",
        input="0.05",
        cache_read="0.01",
        output="0.08",
    )
    backup = {"upstream": "demo-backup", "model": "llama-3.1-8b", "role": "fallback"}
    add(
        "route",
        ASSISTANT,
        targets=[{"upstream": "demo-primary", "model": "gpt-4o-mini"}, backup],
        quality={
            "score": "groundedness",
            "floor": FLOOR,
            "window_s": 30,
            "min_samples": 10,
            "cooldown_s": 8,
        },
    )
    add(
        "route",
        ANALYST,
        targets=[{"upstream": "demo-primary", "model": "gpt-4o"}, backup],
        cache={"exact": True, "ttl_s": 600},
    )
    embedding = {"upstream": "demo-primary", "model": EMBEDDING}
    own = {"upstream": "demo-backup", "model": "bge-small-en", "role": "fallback"}
    add("price", "demo-bge", provider="vllm", model="bge-small-en", input="0.01")
    add("route", EMBEDDING, targets=[embedding, own])
    amount = str((spent + ALLOWANCE).quantize(Decimal("0.01")))
    add("budget", f"{BUDGET_TEAM}-daily", amount=amount, period="day", scope={"team": BUDGET_TEAM})
    add("evaluator", "rag-answers", scorers=["groundedness"], filter={"has_documents": True})
    for team, key in keys.items():
        hashed = hashlib.sha256(key.encode()).hexdigest()
        add("key", f"demo-{team}", hash=hashed, team=team, scopes=["gateway", "ingest"])
    return made


def team_keys(secret: str) -> dict[str, str]:
    """A gateway key for each team, the same at every start of one home; ``secret`` is the home's own key."""
    return {
        team: f"sl_demo-{team}_{hashlib.blake2b(f'{team}:{secret}'.encode(), digest_size=24).hexdigest()}"
        for team in TEAMS
    }
