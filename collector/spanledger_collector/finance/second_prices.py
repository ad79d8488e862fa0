"""A model and its tokens in; what a second source says they cost out: LiteLLM's table, where its wheel is installed.

The table is read from the wheel's file. The package itself is never imported: at import it downloads a newer table.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from spanledger.prices import Buckets

LITELLM = "litellm"
_FILES = ("model_prices_and_context_window_backup.json", "model_prices_and_context_window.json")
_KINDS = {
    "input_tokens": "input_cost_per_token",
    "cache_read_tokens": "cache_read_input_token_cost",
    "cache_write_tokens": "cache_creation_input_token_cost",
    "cache_write_1h_tokens": "cache_creation_input_token_cost_above_1hr",
    "output_tokens": "output_cost_per_token",
    "reasoning_tokens": "output_cost_per_token",
}
_FALLBACKS = {
    "cache_read_tokens": "input_cost_per_token",
    "cache_write_tokens": "input_cost_per_token",
    "cache_write_1h_tokens": "cache_creation_input_token_cost",
}


def cost(table: Mapping[str, Any], usage: Buckets, provider: str, model: str) -> Decimal | None:
    """What the table says of a call's tokens, USD; None for a model or a kind of token it does not know.

    Its tiers by context length are heeded where they are named ``..._above_200k_tokens``.
    """
    entry = _entry(table, provider, model)
    if entry is None:
        return None
    above = "_above_200k_tokens" if _context(usage) > 200_000 else ""
    total = Decimal(0)
    for bucket, name in _KINDS.items():
        tokens = getattr(usage, bucket)
        if not tokens:
            continue
        rate = entry.get(f"{name}{above}", entry.get(name, entry.get(_FALLBACKS.get(bucket, ""))))
        if rate is None:
            return None
        total += tokens * Decimal(str(rate))
    return total


@lru_cache(maxsize=1)
def litellm_table() -> Mapping[str, Any]:
    """LiteLLM's prices by model; empty where it is not installed."""
    found = importlib.util.find_spec(LITELLM)
    for place in (found.submodule_search_locations or []) if found else []:
        for name in _FILES:
            file = Path(place) / name
            if file.is_file():
                return cast("dict[str, Any]", json.loads(file.read_text()))
    return {}


def _entry(table: Mapping[str, Any], provider: str, model: str) -> Mapping[str, Any] | None:
    for name in (model, f"{provider}/{model}"):
        entry = table.get(name)
        if isinstance(entry, dict) and "input_cost_per_token" in entry:
            return cast("dict[str, Any]", entry)
    return None


def _context(usage: Buckets) -> int:
    parts = (
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    )
    return sum(part or 0 for part in parts)
