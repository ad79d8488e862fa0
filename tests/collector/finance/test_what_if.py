"""The same traffic elsewhere: priced tier by tier on a model, and by the hour on a pool, with the volume at which both cost alike."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spanledger.prices import PriceTable
from spanledger.serving.usage import Usage
from spanledger_collector.finance.what_if import Size, on_model, on_pool, thresholds
from spanledger_collector.store.reads.token_mix import Slice

AT = 1_793_534_400 * 10**9
SONNET = PriceTable().rates("anthropic", "claude-sonnet-4-5", AT)
MIX = [
    Slice(
        0, 10, 0, Usage(input_tokens=1_000_000, cache_read_tokens=500_000, output_tokens=100_000), Decimal(9)
    ),
    Slice(1, 1, 0, Usage(input_tokens=300_000, output_tokens=1_000), Decimal(1)),
]
SIZE = Size(2, Decimal("2.5"), Decimal(8000), Decimal(1000))


def test_long_contexts_are_priced_by_their_tier() -> None:
    assert SONNET is not None
    assert thresholds(SONNET) == [200_000]
    assert on_model(MIX, SONNET) == Decimal("3") + Decimal("0.15") + Decimal("1.5") + Decimal(
        "1.8"
    ) + Decimal("0.0225")


def test_a_kind_of_token_without_a_rate_makes_it_unknown() -> None:
    table = PriceTable([{"provider": "vllm", "model": "m", "output": "1"}])
    rates = table.rates("vllm", "m", AT)
    assert rates is not None
    assert on_model(MIX, rates) is None


def test_a_pool_costs_by_the_hour_and_breaks_even_where_traffic_pays_for_it() -> None:
    found = on_pool(MIX, SIZE, Decimal(24), Decimal(10))
    assert found.cost == 120
    assert found.busy == (Decimal(1_800_000) / 8000 + 101) / (24 * 3600 * 2)
    assert (found.break_even, found.break_even_calls, found.needed) == (12, 132, 1)
    assert found.per_million == Decimal(120) / 1_901_000 * 1_000_000


def test_a_pool_that_is_too_small_says_how_many_gpus_it_takes_and_no_break_even() -> None:
    slow = Size(1, Decimal(1), Decimal(1), Decimal(1))
    found = on_pool(MIX, slow, Decimal(24), Decimal(10))
    assert found.busy > 1
    assert found.needed == 23
    assert found.break_even is None


def test_nothing_is_spent_now_so_nothing_breaks_even() -> None:
    assert on_pool(MIX, SIZE, Decimal(1), Decimal(0)).break_even is None


def test_a_pool_without_gpus_is_none() -> None:
    with pytest.raises(ValueError, match="at least one GPU"):
        Size(0, Decimal(1), Decimal(1), Decimal(1))
