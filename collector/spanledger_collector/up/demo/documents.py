"""The registry documents of the demo: where the stand-ins are and what may be spent in, drafts out. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal
from typing import Any

from .cases import DemoCase

ASSISTANT = "assistant"  # the route whose quality is watched
ANALYST = "analyst"  # the dear route that runs into its budget
EMBEDDING = "text-embedding-3-small"
BUDGET_TEAM = "research"
TEAMS = ("search", "support", BUDGET_TEAM)
ALLOWED_ANSWERS = 45  # how many of the dear route's answers one showing of the budgeted team may pay for
TOKENS_PER_CHARACTER = Decimal("0.25")
DEAR = (
    Decimal("2.5e-6"),
    Decimal("1e-5"),
)  # about USD a token of gpt-4o, in and out; only the budget's size hangs on it
FLOOR = 0.62


def allowance(cases: Sequence[DemoCase]) -> Decimal:
    """USD that the budgeted team may spend in one showing: a certain number of answers, whatever their length."""
    read = sum(len(case.question) + sum(map(len, case.passages)) for case in cases)
    written = sum(len(case.right) for case in cases)
    answer = TOKENS_PER_CHARACTER * (read * DEAR[0] + written * DEAR[1]) / len(cases)
    return (answer * ALLOWED_ANSWERS).quantize(Decimal("0.001"), ROUND_UP)


def documents(
    primary_url: str, backup_url: str, keys: Mapping[str, str], limit: Decimal
) -> list[dict[str, Any]]:
    """Every document; ``keys`` are the teams' gateway keys, ``limit`` what the budget's team may spend today."""
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
    amount = str(limit.quantize(Decimal("0.001"), ROUND_UP))
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
