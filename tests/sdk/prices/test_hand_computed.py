"""Sixty calls over nine providers whose cost was worked out by hand from the vendors' published prices.

Each line: who, what was used, and the total in US dollars. Rates a line takes besides the plain ones are those of its
tier, cache or unit; those of documents stand in ``CONTRACT``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spanledger.prices import PriceTable
from spanledger.serving.usage import Usage

CONTRACT = PriceTable(
    [
        {"provider": "openai", "model": "gpt-4.1*", "discount_percent": "15"},
        {
            "provider": "anthropic",
            "model": "claude-*",
            "regions": {"us": "1.1"},
            "service_tiers": {"priority": {"factor": "0.7"}},
        },
        {
            "provider": "vllm",
            "model": "acme-7b",
            "input": "0.2",
            "cache_read": "0.02",
            "output": "0.6",
            "tiers": [{"above_tokens": 32768, "input": "0.4", "output": "1.2"}],
            "service_tiers": {
                "flex": {"input": "0.1", "input_audio": "1", "output": "0.3", "output_audio": "2"}
            },
        },
        {"provider": "vllm", "model": "acme-diffusion", "per_image": "0.04"},
        {
            "provider": "vllm",
            "model": "acme-search",
            "input": "1",
            "output": "2",
            "per_1k_web_searches": "2.5",
            "per_1k_requests": "5",
        },
    ]
)


@dataclass(frozen=True)
class Call:
    provider: str
    model: str
    usage: Usage
    total: str
    at: str = "2026-11-01T12:00:00"
    service_tier: str = ""
    region: str = ""


CALLS = [
    Call("openai", "gpt-4o", Usage(input_tokens=1000, output_tokens=500), "0.0075"),
    Call(
        "openai",
        "gpt-4o-2024-08-06",
        Usage(input_tokens=200, cache_read_tokens=1024, output_tokens=17),
        "0.00195",
    ),
    Call(
        "openai", "gpt-4o", Usage(input_tokens=1234, output_tokens=567), "0.0148835", service_tier="priority"
    ),
    Call(
        "openai",
        "gpt-4o",
        Usage(input_tokens=1234, cache_read_tokens=766, output_tokens=567),
        "0.01651125",
        service_tier="priority",
    ),
    Call("openai", "gpt-4o", Usage(input_tokens=1234, output_tokens=567), "0.0043775", service_tier="batch"),
    Call("openai", "gpt-4o", Usage(input_tokens=1234, output_tokens=567), "0.008755", service_tier="default"),
    Call("openai", "gpt-5", Usage(input_tokens=2048, output_tokens=100, reasoning_tokens=900), "0.01256"),
    Call(
        "openai",
        "gpt-5",
        Usage(input_tokens=2048, cache_read_tokens=4096, output_tokens=100, reasoning_tokens=900),
        "0.006536",
        service_tier="flex",
    ),
    Call(
        "openai",
        "gpt-5",
        Usage(input_tokens=2048, cache_read_tokens=4096, output_tokens=1),
        "0.006164",
        service_tier="priority",
    ),
    Call(
        "openai",
        "gpt-5",
        Usage(input_tokens=2048, cache_read_tokens=1, output_tokens=1),
        "0.0012850625",
        service_tier="batch",
    ),
    Call("openai", "gpt-5", Usage(input_tokens=300, output_tokens=40, web_searches=3), "0.030775"),
    Call("openai", "gpt-5-mini", Usage(input_tokens=1, output_tokens=1), "0.00000225"),
    Call(
        "openai",
        "gpt-5-mini",
        Usage(input_tokens=7, cache_read_tokens=3, output_tokens=5),
        "0.0000059125",
        service_tier="flex",
    ),
    Call("openai", "gpt-5.4", Usage(input_tokens=272000, output_tokens=10), "0.68015"),
    Call("openai", "gpt-5.4", Usage(input_tokens=272001, output_tokens=10), "1.36023"),
    Call(
        "openai",
        "gpt-5.4",
        Usage(input_tokens=200000, cache_read_tokens=100000, output_tokens=1000),
        "1.0725",
    ),
    Call("openai", "gpt-5.4", Usage(input_tokens=300000, output_tokens=1000), "0.76125", service_tier="flex"),
    Call(
        "openai",
        "gpt-image-1",
        Usage(input_tokens=50, input_image_tokens=323, output_tokens=0, output_image_tokens=4160),
        "0.16988",
    ),
    Call("openai", "text-embedding-3-small", Usage(input_tokens=8191), "0.00016382"),
    Call("openai", "o3", Usage(input_tokens=10000, output_tokens=1000), "0.14", at="2025-05-01"),
    Call("openai", "o3", Usage(input_tokens=10000, output_tokens=1000), "0.028", at="2025-07-01"),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input_tokens=100, cache_write_tokens=2000, output_tokens=50),
        "0.00855",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input_tokens=100, cache_write_1h_tokens=2000, output_tokens=50),
        "0.01305",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(
            input_tokens=21,
            cache_read_tokens=188086,
            cache_write_tokens=456,
            cache_write_1h_tokens=123,
            output_tokens=393,
        ),
        "0.0648318",
    ),
    Call("anthropic", "claude-sonnet-4-5-20250929", Usage(input_tokens=200000, output_tokens=1000), "0.615"),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input_tokens=1, cache_read_tokens=200000, output_tokens=1000),
        "0.142506",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(
            input_tokens=100,
            cache_read_tokens=150000,
            cache_write_tokens=60000,
            cache_write_1h_tokens=10,
            output_tokens=7,
        ),
        "0.5408775",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(
            input_tokens=1000,
            cache_read_tokens=500,
            cache_write_tokens=300,
            cache_write_1h_tokens=200,
            output_tokens=90,
        ),
        "0.0034125",
        service_tier="batch",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input_tokens=105, output_tokens=239, web_searches=2),
        "0.0239",
    ),
    Call(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input_tokens=105, output_tokens=239),
        "0.0039",
        service_tier="standard",
    ),
    Call(
        "anthropic",
        "claude-haiku-4-5",
        Usage(
            input_tokens=9,
            cache_write_tokens=1,
            cache_write_1h_tokens=1,
            cache_read_tokens=1,
            output_tokens=1,
        ),
        "0.00001735",
    ),
    Call(
        "anthropic",
        "claude-opus-5",
        Usage(input_tokens=1000, output_tokens=200, reasoning_tokens=800),
        "0.03",
    ),
    Call(
        "anthropic",
        "claude-opus-5",
        Usage(input_tokens=1000, cache_read_tokens=70, output_tokens=200),
        "0.02007",
        service_tier="fast",
    ),
    Call(
        "google",
        "gemini-2.5-pro",
        Usage(input_tokens=5000, output_tokens=100, reasoning_tokens=1500),
        "0.02225",
    ),
    Call(
        "google",
        "gemini-2.5-pro",
        Usage(input_tokens=150000, cache_read_tokens=60000, output_tokens=100),
        "0.3915",
    ),
    Call(
        "google",
        "gemini-2.5-pro",
        Usage(input_tokens=5000, output_tokens=100),
        "0.003625",
        service_tier="batch",
    ),
    Call(
        "google",
        "gemini-2.5-flash",
        Usage(input_tokens=100, input_audio_tokens=3200, output_tokens=80),
        "0.00343",
    ),
    Call(
        "google",
        "gemini-2.5-flash",
        Usage(input_tokens=100, input_audio_tokens=3200, output_tokens=80),
        "0.001715",
        service_tier="batch",
    ),
    Call(
        "google",
        "gemini-2.5-flash-image",
        Usage(input_tokens=12, input_image_tokens=258, output_tokens=3, output_image_tokens=1290),
        "0.0387885",
    ),
    Call(
        "gcp.vertex_ai",
        "gemini-2.5-flash",
        Usage(input_tokens=77, cache_read_tokens=33, output_tokens=5),
        "0.00003659",
    ),
    Call("google", "gemini-2.5-pro", Usage(input_tokens=900, output_tokens=90, web_searches=1), "0.037025"),
    Call(
        "mistral",
        "mistral-small-latest",
        Usage(input_tokens=1500, cache_read_tokens=1500, output_tokens=333),
        "0.0004473",
    ),
    Call(
        "mistral",
        "mistral-small-latest",
        Usage(input_tokens=1500, cache_read_tokens=1500, output_tokens=333),
        "0.00022365",
        service_tier="batch",
    ),
    Call(
        "mistral_ai",
        "mistral-small-latest",
        Usage(input_tokens=1500, output_tokens=333),
        "0.0002499",
        at="2026-02-01",
    ),
    Call("mistral", "mistral-large-latest", Usage(input_tokens=10000, output_tokens=1000), "0.026"),
    Call(
        "deepseek",
        "deepseek-chat",
        Usage(input_tokens=1000, cache_read_tokens=9000, output_tokens=700),
        "0.00167",
    ),
    Call(
        "deepseek",
        "deepseek-chat",
        Usage(input_tokens=1000, cache_read_tokens=9000, output_tokens=700),
        "0.000835",
        at="2026-11-01T20:00:00",
    ),
    Call(
        "x_ai",
        "grok-4",
        Usage(input_tokens=1000, cache_read_tokens=250, output_tokens=10, reasoning_tokens=90),
        "0.0046875",
    ),
    Call(
        "aws.bedrock",
        "amazon.nova-pro-v1:0",
        Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=60),
        "0.001072",
    ),
    Call(
        "aws.bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        Usage(
            input_tokens=10,
            cache_read_tokens=20,
            cache_write_tokens=30,
            cache_write_1h_tokens=40,
            output_tokens=50,
        ),
        "0.00125235",
    ),
    Call("perplexity", "sonar-pro", Usage(input_tokens=26, output_tokens=832), "0.026558"),
    Call(
        "openai",
        "gpt-4.1",
        Usage(input_tokens=1000, cache_read_tokens=3, output_tokens=100),
        "0.002381274999999999999911182158",
    ),  # 15 % off OpenAI's list
    Call(
        "openai", "gpt-4.1", Usage(input_tokens=1000, output_tokens=100), "0.00119", service_tier="batch"
    ),  # 15 % off the batch price
    Call(
        "anthropic",
        "claude-haiku-4-5",
        Usage(input_tokens=1000, cache_write_1h_tokens=10, output_tokens=100),
        "0.001672",
        region="us",
    ),  # served in the US: 1.1 times the list
    Call(
        "anthropic",
        "claude-haiku-4-5",
        Usage(input_tokens=1000, output_tokens=100),
        "0.00105",
        service_tier="priority",
    ),  # a tier the list does not know, by contract 0.7
    Call("vllm", "acme-7b", Usage(input_tokens=1000, output_tokens=100), "0.00026"),
    Call(
        "vllm",
        "acme-7b",
        Usage(input_tokens=20000, cache_read_tokens=12769, output_tokens=100, reasoning_tokens=1),
        "0.00837658",
    ),  # over 32,768 tokens; its cache reads have one rate
    Call(
        "vllm",
        "acme-7b",
        Usage(input_tokens=1000, input_audio_tokens=10, output_tokens=100, output_audio_tokens=4),
        "0.000148",
        service_tier="flex",
    ),
    Call("vllm", "acme-diffusion", Usage(image_units=4), "0.16"),  # by the image
    Call("vllm", "acme-search", Usage(input_tokens=10, output_tokens=5, web_searches=7), "0.02252"),
]


def test_there_are_sixty_of_them() -> None:
    assert len(CALLS) == 60
    assert len({call.provider for call in CALLS}) >= 6


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.provider}-{call.model}-{call.total}")
def test_a_calls_cost_is_what_a_hand_works_out(call: Call) -> None:
    at = int(datetime.fromisoformat(call.at).replace(tzinfo=UTC).timestamp()) * 10**9
    cost = CONTRACT.cost(
        call.usage, call.provider, call.model, at, service_tier=call.service_tier, region=call.region
    )
    assert cost is not None
    assert abs(cost.total - Decimal(call.total)) <= Decimal("1e-9")


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("openai", "gpt-4o", "flex"),
        ("anthropic", "claude-opus-5", "priority"),
        ("vllm", "acme-7b", "priority"),
    ],
)
def test_a_tier_that_nobody_priced_is_unknown_and_never_full_price(
    provider: str, model: str, tier: str
) -> None:
    usage = Usage(input_tokens=1, output_tokens=1)
    table = PriceTable(
        [
            {
                "provider": "vllm",
                "model": "acme-7b",
                "input": "1",
                "output": "1",
                "service_tiers": {"batch": {"factor": "0.5"}},
            }
        ]
    )
    assert table.cost(usage, provider, model, 1_793_534_400 * 10**9, service_tier=tier) is None


def test_a_changed_list_price_names_both_the_list_and_the_document() -> None:
    table = PriceTable(
        [{"provider": "openai", "model": "*", "discount_percent": "50", "name": "deal", "version": 3}]
    )
    cost = table.cost(Usage(input_tokens=2, output_tokens=0), "openai", "gpt-4o", 1_793_534_400 * 10**9)
    assert cost is not None
    assert (cost.source, cost.version.partition("+")[2], cost.total) == (
        "genai-prices",
        "deal@3",
        Decimal("0.0000025"),
    )
