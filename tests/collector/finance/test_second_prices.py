"""A second source's table is read by its own field names, and what it does not know is unknown."""

from __future__ import annotations

from decimal import Decimal

from spanledger.serving.usage import Usage
from spanledger_collector.finance.second_prices import cost

TABLE = {
    "m": {
        "input_cost_per_token": 3e-06,
        "input_cost_per_token_above_200k_tokens": 6e-06,
        "cache_read_input_token_cost": 3e-07,
        "output_cost_per_token": 1.5e-05,
    },
    "azure/n": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    "odd": {"mode": "image_generation"},
}


def test_tokens_are_priced_by_its_rates_and_tiers() -> None:
    usage = Usage(input_tokens=1000, cache_read_tokens=100, output_tokens=10, reasoning_tokens=5)
    assert cost(TABLE, usage, "anthropic", "m") == Decimal("0.003255")
    assert cost(TABLE, Usage(input_tokens=300_000), "anthropic", "m") == Decimal("1.8")
    assert cost(TABLE, Usage(input_tokens=1), "azure", "n") == Decimal("0.000001")


def test_an_unknown_model_is_unknown() -> None:
    assert cost(TABLE, Usage(input_tokens=1), "openai", "odd") is None
    assert cost(TABLE, Usage(input_tokens=1), "openai", "nothing") is None
