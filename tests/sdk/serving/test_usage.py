"""Token buckets are disjoint and add up to the provider's own total, for every provider's shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger import semconv
from spanledger.serving.usage import Usage, merged, normalise


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            {
                "prompt_tokens": 1000,
                "completion_tokens": 300,
                "total_tokens": 1300,
                "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 10},
            },
            Usage(
                input_tokens=550,
                cache_read_tokens=400,
                input_audio_tokens=50,
                output_tokens=170,
                reasoning_tokens=120,
                output_audio_tokens=10,
            ),
            id="openai-chat",
        ),
        pytest.param(
            {
                "prompt_tokens": 312,
                "completion_tokens": 8,
                "total_tokens": 320,
                "prompt_tokens_details": {"cached_tokens": 256, "created_cache_tokens": 0},
                "completion_tokens_details": None,
            },
            Usage(input_tokens=56, cache_read_tokens=256, output_tokens=8),
            id="vllm",
        ),
        pytest.param(
            {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17, "prompt_tokens_details": None},
            Usage(input_tokens=12, output_tokens=5),
            id="vllm-without-details",
        ),
        pytest.param(
            {"prompt_tokens": 10, "total_tokens": 10}, Usage(input_tokens=10), id="openai-embeddings"
        ),
        pytest.param(
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens": 50,
                "output_tokens_details": {"reasoning_tokens": 20},
                "total_tokens": 150,
            },
            Usage(input_tokens=40, cache_read_tokens=60, output_tokens=30, reasoning_tokens=20),
            id="openai-responses",
        ),
        pytest.param(
            {
                "input_tokens": 100,
                "cache_read_input_tokens": 900,
                "cache_creation_input_tokens": 300,
                "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
                "output_tokens": 40,
            },
            Usage(
                input_tokens=100,
                cache_read_tokens=900,
                cache_write_tokens=100,
                cache_write_1h_tokens=200,
                output_tokens=40,
            ),
            id="anthropic",
        ),
        pytest.param(
            {
                "prompt_tokens": 20,
                "completion_tokens": 10,
                "total_tokens": 130,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(input_tokens=20, output_tokens=10, reasoning_tokens=100),
            id="xai-reasoning-beside-completion",
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 90},
            Usage(input_tokens=20, output_tokens=10, reasoning_tokens=60),
            id="gemini-compatible-hidden-thoughts",
        ),
        pytest.param(
            {
                "prompt_tokens": 30,
                "completion_tokens": 1,
                "total_tokens": 31,
                "prompt_cache_hit_tokens": 10,
                "prompt_cache_miss_tokens": 20,
            },
            Usage(input_tokens=20, cache_read_tokens=10, output_tokens=1),
            id="deepseek",
        ),
        pytest.param(
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 30,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 15,
                "totalTokenCount": 135,
            },
            Usage(input_tokens=70, cache_read_tokens=30, output_tokens=20, reasoning_tokens=15),
            id="google",
        ),
        pytest.param(
            {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            Usage(input_tokens=0, output_tokens=0),
            id="an-explicit-zero-is-not-missing",
        ),
    ],
)
def test_buckets_of_each_provider(raw: dict[str, Any], expected: Usage) -> None:
    assert normalise(raw) == expected
    told = raw.get("total_tokens", raw.get("totalTokenCount"))
    assert told is None or expected.total == told


counts = st.integers(0, 5000)


@given(prompt=counts, completion=counts, cached=counts, written=counts, reasoning=counts, audio=counts)
def test_openai_buckets_never_exceed_the_total_however_wrong_the_parts_are(
    prompt: int, completion: int, cached: int, written: int, reasoning: int, audio: int
) -> None:
    usage = normalise(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": written,
                "audio_tokens": audio,
            },
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": audio},
        }
    )
    assert usage is not None
    assert usage.total == prompt + completion
    assert min(value for value in (usage.input_tokens, usage.output_tokens) if value is not None) >= 0


@pytest.mark.parametrize("raw", [None, {}, {"tokens": 5}, {"prompt_tokens_details": {}}])
def test_no_usage_is_none_and_not_zero(raw: dict[str, Any] | None) -> None:
    assert normalise(raw) is None


def test_nonsense_values_are_unknown() -> None:
    usage = normalise({"prompt_tokens": "12", "completion_tokens": True, "total_tokens": None})
    assert usage == Usage()


def test_the_wire_carries_totals_that_include_their_parts() -> None:
    usage = Usage(
        input_tokens=10, cache_read_tokens=5, cache_write_1h_tokens=2, output_tokens=3, reasoning_tokens=4
    )
    assert usage.attributes() == {
        semconv.INPUT_TOKENS: 17,
        semconv.OUTPUT_TOKENS: 7,
        semconv.CACHE_READ_TOKENS: 5,
        semconv.CACHE_WRITE_TOKENS: 2,
        semconv.CACHE_WRITE_1H_TOKENS: 2,
        semconv.REASONING_TOKENS: 4,
    }


def test_later_events_of_a_stream_replace_earlier_numbers() -> None:
    start = normalise({"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1})
    delta = normalise({"output_tokens": 15})
    assert merged(start, delta) == Usage(input_tokens=25, cache_read_tokens=7, output_tokens=15)
    assert merged(None, None) is None


def counts_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), st.one_of(st.none(), st.integers(-3, 40)))


@given(
    usage=counts_of("prompt_tokens", "completion_tokens", "total_tokens"),
    inside=counts_of("cached_tokens", "audio_tokens"),
    outside=counts_of("reasoning_tokens", "audio_tokens"),
)
def test_a_usual_usage_reads_as_one_with_unusual_fields_does(
    usage: dict[str, Any], inside: dict[str, Any], outside: dict[str, Any]
) -> None:
    whole = {**usage, "prompt_tokens_details": inside, "completion_tokens_details": outside}
    # A field that means nothing keeps the second from the short way.
    assert normalise(whole) == normalise({**whole, "extra": 1})
