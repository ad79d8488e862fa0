"""One span to one row: nothing from outside can make it raise, no unknown attribute is lost, buckets stay disjoint."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanledger.records import CallRecord
from spanledger_collector.ingest import attributes
from spanledger_collector.ingest.dialects import DIALECTS
from spanledger_collector.ingest.normalise import normalise
from spanledger_collector.ingest.rows import Batch, Row, Span, Tenancy
from spanledger_collector.ingest.usage import buckets
from spanledger_collector.store.writes import arrow_insert
from tests.otlp import SpanData, body, chat

TENANCY = Tenancy("p", "", "k", time.time_ns())
NAMES = sorted({name for dialect in DIALECTS for name in dialect.fields} | {
    f"{prefix}{n}.{path}"
    for dialect in DIALECTS for prefix in dialect.groups
    for n in (0, 1, 10**6) for path in ("role", "message.content", "message.contents.0.message_content.text", "document.score")
})  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "{}", "[]", "[null]", "null", "NaN", "-1", "1e400", "9" * 30, '{"role": 1}', '[{"role":"user"}]', '"x"', "٣",
         '{"usage":{"prompt_tokens":"x"}}', '{"input":-5,"total":{}}', '[{"message":{"content":[{"type":"text"}]}}]',
         "1e300", '{"choices":[{"message":null}]}', '[{"role":"tool","tool_call_id":3,"content":{}}]', "2026-13-45T99:99:99Z"]
    ),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
EVENTS = st.sampled_from(
    ["exception", "gen_ai.choice", "gen_ai.user.message", "gen_ai.evaluation.result", "First Token Stream Event",
     "gen_ai.content.prompt", "gen_ai.client.inference.operation.details", "other"]
)  # fmt: skip
EVENT_NAMES = [
    "gen_ai.evaluation.name",
    "gen_ai.evaluation.score.value",
    "content",
    "message",
    "role",
    "gen_ai.prompt",
]


def one(attributes: dict[str, Any], **given: Any) -> Span:
    """The span that these attributes become."""
    batch = Batch()
    normalise(body(SpanData(attributes=attributes, **given)), TENANCY, batch)
    (span,) = batch.spans
    return span


def row(attributes: dict[str, Any], **given: Any) -> Row:
    return one(attributes, **given).row


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=12)), VALUES, max_size=8),
    st.lists(
        st.tuples(EVENTS, st.dictionaries(st.sampled_from(EVENT_NAMES), VALUES, max_size=3)), max_size=2
    ),
    st.integers(0, 2**63 - 1),
)
def test_whatever_attributes_hold_becomes_a_row_the_store_takes(
    given: dict[str, Any], events: list[tuple[str, dict[str, Any]]], start: int
) -> None:
    batch = Batch()
    normalise(body(SpanData(attributes=given, events=[*events], start=start)), TENANCY, batch)
    assert not batch.faults
    assert len(batch.spans) == 1
    arrow_insert("spans", [span.row for span in batch.spans], "t")
    arrow_insert("scores", batch.scores, "t")
    usage = batch.spans[0].usage
    for name in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"):
        count = getattr(usage, name, None)
        assert count is None or 0 <= count < 2**32


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=150), VALUES, max_size=6))
def test_attributes_read_fast_are_what_the_official_classes_read(given: dict[str, Any]) -> None:
    message = body(SpanData(attributes=given))
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    official = (
        ExportTraceServiceRequest.FromString(message).resource_spans[0].scope_spans[0].spans[0].attributes
    )
    raws = [pair.SerializeToString() for pair in official]
    found = attributes.decode_all(raws)
    for pair in official:
        assert same(found[pair.key], plain(pair.value))


def plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return repr(left) == repr(right)


def test_text_that_is_no_utf8_keeps_its_readable_part() -> None:
    raw = KeyValue(key="k", value=AnyValue(string_value="ab")).SerializeToString().replace(b"ab", b"a\xff")
    assert attributes.decode(raw) == ("k", "a\ufffd")


def test_unknown_attributes_are_kept_as_text() -> None:
    found = row({"my.text": "x", "my.flag": False, "my.list": [1, "b"], "my.map": {"a": 1}, "my.float": 0.5})
    assert found["attributes"] == {
        "my.text": "x", "my.flag": "false", "my.list": '[1,"b"]', "my.map": '{"a":1}', "my.float": "0.5",
    }  # fmt: skip


def test_value_that_does_not_fit_its_column_stays_readable() -> None:
    found = row(chat(gen_ai__request__max_tokens="many", gen_ai__request__temperature=float("nan")))
    assert "max_tokens" not in found
    assert found["attributes"] == {"invalid.max_tokens": "many", "invalid.temperature": "nan"}


@pytest.mark.parametrize("name", ["openai.response.service_tier", "anthropic.response.service_tier"])
def test_service_tier_is_written_as_price_lists_do(name: str) -> None:
    assert row(chat() | {name: " Priority"})["service_tier"] == "priority"


def test_of_two_names_for_a_fact_the_lower_one_is_kept_in_either_order() -> None:
    for names in (("gen_ai.system", "gen_ai.provider.name"), ("gen_ai.provider.name", "gen_ai.system")):
        found = row(dict.fromkeys(names, "x") | {"gen_ai.system": "azure", "gen_ai.provider.name": "openai"})
        assert (found["provider"], found["attributes"]) == ("openai", {"gen_ai.system": "azure"})


def test_newer_name_of_a_fact_holds_and_the_other_is_kept() -> None:
    found = row({"gen_ai.provider.name": "openai", "gen_ai.system": "azure"})
    assert found["provider"] == "openai"
    assert found["attributes"] == {"gen_ai.system": "azure"}


def test_start_that_cannot_be_meant_becomes_the_arrival() -> None:
    for start in (1, 2**62, 2**63 - 1):
        found = row({}, start=start, duration_ns=5)
        assert found["start_time"] == TENANCY.received_at
        assert found["attributes"]["spanledger.original_start_time"] == str(start)


def test_columns_are_fields_of_the_row_contract() -> None:
    found = row(
        chat(spanledger__tags=["a", "b"], user__id="u", gen_ai__response__finish_reasons=["stop", "stop"])
    )
    assert set(found) <= set(CallRecord.__dataclass_fields__)
    assert (found["tags"], found["finish_reason"]) == (["a", "b"], "stop")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"input": 100, "cache_read": 40, "output": 20, "reasoning": 5}, (60, 40, None, 15, 5)),
        (
            {"input": 10, "cache_read": 40, "output": 20},
            (10, 40, None, 20, None),
        ),  # a part above its total is beside it
        ({"input": 100, "cache_read": 40, "output": 20, "total": 160}, (100, 40, None, 20, None)),
        ({"input": 100, "cache_read": 40, "output": 20, "total": 120}, (60, 40, None, 20, None)),
        ({"input": 100, "output": 20, "reasoning": 30}, (100, None, None, 20, 30)),
        ({"input": 50, "cache_write": 8, "cache_write_1h": 3, "output": 1}, (42, None, 5, 1, None)),
        ({"input": 0, "output": 0}, (0, None, None, 0, None)),
    ],
)
def test_buckets_are_disjoint_and_add_up_to_the_total(
    facts: dict[str, int], expected: tuple[int | None, ...]
) -> None:
    usage = buckets({f"usage.{name}": value for name, value in facts.items()})
    assert usage is not None
    found = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens, usage.reasoning_tokens)  # fmt: skip
    assert found == expected
    if "total" in facts:
        assert usage.total == facts["total"]


def test_vllm_engine_span_tells_its_times() -> None:
    # Names and units as vLLM 0.29 to 0.33 writes them on its span ``llm_request``.
    found = row(
        {"gen_ai.response.model": "llama-3.1-8b", "gen_ai.request.id": "cmpl-1", "gen_ai.usage.prompt_tokens": 312,
         "gen_ai.usage.completion_tokens": 20, "gen_ai.latency.time_in_queue": 0.25, "gen_ai.latency.time_to_first_token": 0.5,
         "gen_ai.latency.time_in_model_prefill": 0.125, "gen_ai.latency.time_in_model_decode": 1.5, "gen_ai.request.top_p": 1.0},
        name="llm_request", scope="vllm.llm_engine",
    )  # fmt: skip
    assert (found["dialect"], found["operation"], found["provider"]) == ("vllm", "chat", "vllm")
    assert (found["input_tokens"], found["output_tokens"], found["response_id"]) == (312, 20, "cmpl-1")
    assert [found[name] for name in ("queue_ns", "ttft_ns", "prefill_ns", "decode_ns")] == [
        250_000_000, 500_000_000, 125_000_000, 1_500_000_000,
    ]  # fmt: skip


def test_vercel_outer_span_repeats_its_steps_and_is_no_call() -> None:
    usage = {
        "ai.usage.promptTokens": 10,
        "ai.usage.completionTokens": 5,
        "ai.model.id": "gpt-4o",
        "ai.model.provider": "openai.chat",
    }
    outer = row({**usage, "ai.operationId": "ai.generateText"}, scope="ai")
    inner = row(
        {**usage, "ai.operationId": "ai.generateText.doGenerate", "ai.response.text": "Hi"}, scope="ai"
    )
    assert (outer["operation"], inner["operation"], inner["provider"]) == ("invoke_agent", "chat", "openai")
    assert inner["output"] == '[{"role":"assistant","parts":[{"type":"text","content":"Hi"}]}]'
