"""What an exporter sends to /v1/traces is acknowledged, priced and can be queried soon after."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from tests.otlp import SpanData, chat

from .conftest import Collector

pytestmark = pytest.mark.clickhouse


def test_model_call_is_a_priced_row(collector: Collector) -> None:
    span = SpanData(
        attributes=chat(
            gen_ai__response__id="chatcmpl-1",
            gen_ai__usage__cache_read__input_tokens=400,
            gen_ai__usage__reasoning__output_tokens=30,
            gen_ai__input__messages='[{"role": "user", "content": "Why?"}]',
            user__id="u-7",
            app__flag=True,
        )
    )
    collector.send(span, zipped=True)
    (row,) = collector.wait_for(span)
    assert (row["project"], row["key_id"], row["service"]) == ("default", "bootstrap", "shop")
    assert row["span_id"] == span.span_id
    assert [row[c] for c in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")] == [
        600, 400, 70, 30,
    ]  # fmt: skip
    assert row["billable"]
    assert row["cost_total"] == Decimal("0.003000000")
    assert row["price_source"] == "genai-prices"
    assert row["user_id"] == "u-7"
    assert row["attributes"] == {"app.flag": "true"}
    assert orjson.loads(row["input"]) == [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]


def test_score_event_is_a_score_about_its_span(collector: Collector) -> None:
    event = {
        "gen_ai.evaluation.name": "thumbs",
        "gen_ai.evaluation.score.value": 1,
        "gen_ai.evaluation.explanation": "ok",
    }
    span = SpanData(attributes=chat(), events=[("gen_ai.evaluation.result", event)])
    collector.send(span)
    (row,) = collector.wait_for(span, table="scores")
    assert (row["name"], row["value"], row["explanation"], row["status"]) == ("thumbs", 1.0, "ok", "ok")
    assert (row["span"].lower(), row["source"]) == (span.span_id.hex(), "sdk")


def test_metrics_tell_what_came_in_and_what_became_of_it(collector: Collector) -> None:
    names = ("received", "accepted", "stored_spans", "duplicated_spans", "unpriced_calls", "repeated_calls")

    def counted() -> list[float]:
        return [collector.metric(f"spanledger_ingest_{name}_total") for name in names]

    before = counted()
    spans = [SpanData(attributes=chat()), SpanData(attributes=chat(gen_ai__request__model="nobody-knows"))]
    collector.send(*spans)
    collector.wait_for(*spans)
    collector.send(spans[0])
    collector.settled()
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 3, 2, 1, 1, 0]
    assert collector.metric("spanledger_ingest_visible_lag_seconds_count") > 0
    assert collector.metric("spanledger_ingest_insert_seconds_count") > 0
