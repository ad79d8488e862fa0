"""GenAI log events: contents join their span or stand below it, evaluations become scores, other logs are refused."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from spanledger.messages import parse, question_of, text_of
from spanledger_collector.ingest import wire
from tests.otlp import SpanData, chat, pairs

from .conftest import Pipeline, record

pytestmark = pytest.mark.clickhouse

DETAILS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}],
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Because."}],"finish_reason":"stop"}]',
}


def logs(*events: tuple[SpanData, str, Mapping[str, object]]) -> bytes:
    """One log request; each event is about a span."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    for span, name, attributes in events:
        scope.log_records.add(
            trace_id=span.trace_id, span_id=span.span_id, event_name=name, time_unix_nano=time.time_ns(),
            attributes=pairs(attributes),
        )  # fmt: skip
    return message.SerializeToString()


def spool(pipeline: Pipeline, content: bytes) -> None:
    pipeline.spool.append(record(content, signal="logs")).result(10)


@pytest.mark.parametrize("together", [True, False])
def test_content_event_is_read_with_its_span_or_below_it(pipeline: Pipeline, together: bool) -> None:
    span = SpanData(attributes=chat())
    pipeline.send(span)
    if not together:
        pipeline.store_all()
    spool(pipeline, logs((span, "gen_ai.client.inference.operation.details", DETAILS)))
    pipeline.store_all()
    spool(pipeline, logs((span, "gen_ai.client.inference.operation.details", DETAILS)))
    pipeline.store_all()
    rows = pipeline.rows("SELECT *, hex(parent_span_id) AS parent FROM spans WHERE input != ''")
    assert {row["parent"].lower() for row in rows if row["name"] == "content"} == {span.span_id.hex()}
    assert sum(row["name"] == "content" for row in rows) == 1
    assert len(rows) == (2 if together else 1)
    for row in rows:
        assert question_of(parse(row["input"])) == "Why?"
        assert text_of(parse(row["output"])) == "Because."
    (calls,) = pipeline.rows("SELECT countIf(billable) AS n FROM spans")
    assert calls["n"] == 1


def test_older_events_of_single_messages_make_one_conversation(pipeline: Pipeline) -> None:
    span = SpanData(attributes=chat())
    pipeline.send(span)
    spool(
        pipeline,
        logs(
            (span, "gen_ai.system.message", {"content": "Be brief."}),
            (span, "gen_ai.user.message", {"content": "Why?"}),
            (
                span,
                "gen_ai.choice",
                {"message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"},
            ),
        ),
    )
    pipeline.store_all()
    (row,) = pipeline.rows("SELECT input, output FROM spans")
    assert [message["role"] for message in parse(row["input"])] == ["system", "user"]
    assert text_of(parse(row["output"])) == "So."


def test_body_that_is_a_text_is_the_message(pipeline: Pipeline) -> None:
    span = SpanData(attributes=chat())
    pipeline.send(span)
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    for name, said in (("gen_ai.user.message", "Why?"), ("gen_ai.choice", "So.")):
        scope.log_records.add(
            trace_id=span.trace_id, span_id=span.span_id, attributes=pairs({"event.name": name}),
            body=AnyValue(string_value=said),
        )  # fmt: skip
    spool(pipeline, message.SerializeToString())
    pipeline.store_all()
    (row,) = pipeline.rows("SELECT input, output FROM spans")
    assert question_of(parse(row["input"])) == "Why?"
    assert text_of(parse(row["output"])) == "So."


def test_evaluation_event_is_a_score(pipeline: Pipeline) -> None:
    span = SpanData(attributes=chat())
    told = {
        "gen_ai.evaluation.name": "faithful",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.score.label": "half",
    }
    sent = logs((span, "gen_ai.evaluation.result", told))
    for _ in range(2):
        spool(pipeline, sent)
        pipeline.store_all()
    (row,) = pipeline.rows("SELECT name, value, label, trace_id FROM scores FINAL")
    assert (row["name"], row["value"], row["label"], row["trace_id"]) == (
        "faithful",
        0.5,
        "half",
        span.trace_id,
    )


def test_logs_at_large_are_rejected_and_said_so() -> None:
    span = SpanData()
    body = logs(
        (span, "gen_ai.choice", {}), (span, "http.request", {}), (SpanData(trace_id=b""), "gen_ai.choice", {})
    )
    checked = wire.check(body, wire.PROTOBUF, "logs")
    assert (checked.accepted, checked.rejected) == (1, 2)
    assert b"gen_ai" in wire.success(wire.PROTOBUF, "logs", checked)
