"""Cost: what genai-prices says where it is right, NULL where nobody knows, our documents before both."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from spanledger.prices import PriceTable
from spanledger.serving.usage import Usage

TABLE = PriceTable()
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9
TOKENS = st.one_of(st.none(), st.integers(0, 400_000))


def ns(year: int, month: int, day: int, hour: int = 12) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-5-mini"),
        ("openai", "text-embedding-3-small"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
        ("groq", "llama-3.3-70b-versatile"),
    ],
)
@given(base=st.integers(0, 400_000), read=TOKENS, write=TOKENS, write_1h=TOKENS)
def test_cost_equals_genai_prices_to_half_a_nano_dollar_a_bucket(
    provider: str, model: str, base: int, read: int | None, write: int | None, write_1h: int | None
) -> None:
    usage = Usage(
        input_tokens=base, cache_read_tokens=read, cache_write_tokens=write, cache_write_1h_tokens=write_1h
    )
    cost = TABLE.cost(usage, provider, model, AT_NS)
    listed = calc_price(
        ListedUsage(
            input_tokens=base + (read or 0) + (write or 0) + (write_1h or 0),
            cache_read_tokens=read or 0,
            cache_write_tokens=(write or 0) + (write_1h or 0),
            cache_write_1h_tokens=write_1h or 0,
            output_tokens=0,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=AT,
    )
    assert cost is not None
    assert abs(cost.total - listed.total_price) <= Decimal("2.5e-9")


@given(
    st.builds(
        Usage, input_tokens=TOKENS, cache_read_tokens=TOKENS, output_tokens=TOKENS, reasoning_tokens=TOKENS
    )
)
def test_total_is_the_sum_of_its_buckets(usage: Usage) -> None:
    cost = TABLE.cost(usage, "openai", "gpt-5", AT_NS)
    if cost is None:
        assert usage == Usage()
        return
    parts = (cost.input, cost.cache_read, cost.cache_write, cost.output, cost.reasoning, cost.other)
    assert cost.total == sum((part for part in parts if part is not None), Decimal(0))
    assert cost.total.as_tuple().exponent == -9


def test_price_of_the_day_of_the_call_is_used() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    before = TABLE.cost(usage, "openai", "o3", ns(2025, 5, 1))
    after = TABLE.cost(usage, "openai", "o3", ns(2025, 7, 1))
    assert (before and before.total, after and after.total) == (Decimal("0.14"), Decimal("0.028"))


def test_price_by_the_clock_is_not_frozen_by_the_memo() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    prices: set[Decimal] = set()
    for hour in range(24):
        cost = TABLE.cost(usage, "deepseek", "deepseek-chat", ns(2025, 6, 1, hour))
        assert cost is not None
        prices.add(cost.total)
    assert len(prices) == 2


def test_long_context_tier_counts_cached_tokens_and_holds_for_every_token() -> None:
    usage = Usage(input_tokens=100_000, cache_read_tokens=150_000, output_tokens=1_000)
    cost = TABLE.cost(usage, "google", "gemini-2.5-pro", AT_NS)
    assert cost is not None
    assert cost.input == Decimal("0.25")
    assert cost.output == Decimal("0.015")


def test_lifetimes_of_anthropic_cache_writes_are_priced_apart() -> None:
    usage = Usage(input_tokens=0, cache_write_tokens=1_000_000 // 10, cache_write_1h_tokens=100_000)
    cost = TABLE.cost(usage, "anthropic", "claude-haiku-4-5", AT_NS)
    assert cost is not None
    assert cost.cache_write == Decimal("0.125") + Decimal("0.2")


@pytest.mark.parametrize("tier", ["batch", "BATCH"])
def test_batch_named_as_a_service_tier_gets_the_batch_price(tier: str) -> None:
    usage = Usage(input_tokens=1_000_000)
    batch = TABLE.cost(usage, "openai", "gpt-5", AT_NS, service_tier=tier)
    flagged = TABLE.cost(usage, "openai", "gpt-5", AT_NS, batch=True)
    assert batch is not None
    assert batch == flagged
    assert batch.total == Decimal("0.625")


@pytest.mark.parametrize("tier", ["priority", "flex", "a-tier-of-tomorrow", "batch"])
def test_tier_without_a_listed_price_is_unpriced_never_full_price(tier: str) -> None:
    assert TABLE.cost(Usage(input_tokens=1), "google", "gemini-1.5-flash", AT_NS, service_tier=tier) is None


@pytest.mark.parametrize("tier", ["", "default", "standard", "auto", "Standard"])
def test_standard_tiers_cost_the_standard_price(tier: str) -> None:
    cost = TABLE.cost(
        Usage(input_tokens=1_000_000), "anthropic", "claude-haiku-4-5", AT_NS, service_tier=tier
    )
    assert cost is not None
    assert cost.total == 1


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", Usage(input_tokens=5)),
        ("vllm", "gpt-4o", Usage(input_tokens=5)),
        ("", "", Usage(input_tokens=5)),
        ("openai", "gpt-4o", Usage()),
        ("openai", "gpt-4o", Usage(image_units=1)),
        ("openai", "text-embedding-3-small", Usage(input_tokens=5, output_tokens=3)),
    ],
)
def test_what_nobody_priced_is_none(provider: str, model: str, usage: Usage) -> None:
    assert TABLE.cost(usage, provider, model, AT_NS) is None


@pytest.mark.parametrize(
    ("provider", "model", "total"),
    [
        ("azure.ai.openai", "gpt-4o", "2.5"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "0.3"),
        ("aws.bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", "1"),
        ("x_ai", "grok-3", "3"),
        ("", "openai/gpt-4o", "2.5"),
        ("", "text-embedding-3-small", "0.02"),
        ("openai", "openai/gpt-4o-2024-08-06", "2.5"),
        ("OpenAI", "GPT-4o", "2.5"),
    ],
)
def test_names_other_instrumentations_use_are_understood(provider: str, model: str, total: str) -> None:
    cost = TABLE.cost(Usage(input_tokens=1_000_000), provider, model, AT_NS)
    assert cost is not None
    assert cost.total == Decimal(total)


def test_request_model_prices_a_call_whose_answer_named_an_unknown_one() -> None:
    cost = TABLE.cost(Usage(input_tokens=1_000_000), "openai", "my-tune", AT_NS, request_model="gpt-4o")
    assert cost is not None
    assert (cost.total, cost.source) == (Decimal("2.5"), "genai-prices")
    assert cost.version


def override(**fields: object) -> dict[str, object]:
    return {"provider": "openai", "model": "gpt-4o", "input": "1", "output": "2", **fields}


def test_document_wins_over_the_list_for_dated_names_too_and_within_its_dates() -> None:
    table = PriceTable([override(**{"from": "2026-01-01", "until": "2026-02-01"})])
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000, reasoning_tokens=500_000)
    inside = table.cost(usage, "openai", "gpt-4o-2024-08-06", ns(2026, 1, 15))
    assert inside is not None
    assert (inside.input, inside.cache_read, inside.reasoning) == (1, 1, 1)
    assert inside.source == "override"
    for outside in (ns(2025, 12, 31), ns(2026, 2, 1)):
        cost = table.cost(usage, "openai", "gpt-4o", outside)
        assert cost is not None
        assert cost.source == "genai-prices"


def test_latest_document_that_holds_wins() -> None:
    table = PriceTable([override(**{"from": "2026-03-01"}, input="7"), override(**{"from": "2026-01-01"})])
    usage = Usage(input_tokens=1_000_000)
    totals = [table.cost(usage, "openai", "gpt-4o", ns(2026, month, 2)) for month in (2, 4)]
    assert [cost and cost.total for cost in totals] == [1, 7]


def test_document_for_any_provider_prices_a_private_model() -> None:
    table = PriceTable(
        [{"provider": "*", "model": "in-house", "input": "0.5", "output": "1", "name": "p", "version": 3}]
    )
    cost = table.cost(Usage(input_tokens=2_000_000), "vllm", "in-house", AT_NS)
    assert cost is not None
    assert (cost.total, cost.version) == (1, "p@3")


@pytest.mark.parametrize(
    "bad", [{"input": "x"}, {"input": "-1"}, {"output": "NaN"}, {"model": ""}, {"from": "soon"}]
)
def test_document_that_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"price|Invalid isoformat"):
        PriceTable([override(**bad)])


def test_importing_the_module_does_not_load_the_price_list() -> None:
    code = "import sys, spanledger.prices; print('genai_prices' in sys.modules, 'pydantic' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
