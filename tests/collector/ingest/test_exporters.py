"""OpenTelemetry's own exporters and gRPC clients are understood, and told what to do in their own terms."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, set_span_in_context

from spanledger.messages import parse, question_of
from spanledger_collector.ingest import errors, wire
from tests.otlp import SpanData, body, chat

from .conftest import KEY, Collector

pytestmark = pytest.mark.clickhouse

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HEADERS = {"authorization": f"Bearer {KEY}"}

WAYS = ("http", "http gzip", "grpc", "grpc gzip")


def span_exporter(to: Collector, way: str, headers: dict[str, str] = HEADERS) -> SpanExporter:
    """OpenTelemetry's exporter of spans, over one of the ways."""
    if way.startswith("http"):
        packed = Compression.Gzip if way.endswith("gzip") else Compression.NoCompression
        return HttpSpans(f"http://127.0.0.1:{to.port}/v1/traces", headers=headers, compression=packed)
    packed = grpc.Compression.Gzip if way.endswith("gzip") else grpc.Compression.NoCompression
    return GrpcSpans(f"127.0.0.1:{to.grpc_port}", insecure=True, headers=headers, compression=packed)


def log_exporter(to: Collector, way: str) -> LogRecordExporter:
    """OpenTelemetry's exporter of log records, over one of the ways."""
    if way.startswith("http"):
        packed = Compression.Gzip if way.endswith("gzip") else Compression.NoCompression
        return HttpLogs(f"http://127.0.0.1:{to.port}/v1/logs", headers=HEADERS, compression=packed)
    packed = grpc.Compression.Gzip if way.endswith("gzip") else grpc.Compression.NoCompression
    return GrpcLogs(f"127.0.0.1:{to.grpc_port}", insecure=True, headers=HEADERS, compression=packed)


@pytest.mark.parametrize("way", WAYS)
def test_official_exporters_send_a_call_and_its_events(collector: Collector, way: str) -> None:
    spans, logs = span_exporter(collector, way), log_exporter(collector, way)
    name = f"chat by {way}"
    span = (
        TracerProvider()
        .get_tracer("app")
        .start_span(name, kind=SpanKind.CLIENT, attributes=cast(Any, chat()))
    )
    events = LoggerProvider()
    events.add_log_record_processor(SimpleLogRecordProcessor(logs))
    told = {"gen_ai.input.messages": json.dumps([{"role": "user", "content": "Why?"}])}
    events.get_logger("app").emit(
        LogRecord(
            timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, context=set_span_in_context(span),
            event_name="gen_ai.client.inference.operation.details", attributes=told,
        )
    )  # fmt: skip
    span.end()
    assert spans.export([cast(ReadableSpan, span)]) is SpanExportResult.SUCCESS
    events.shutdown()
    spans.shutdown()
    trace = f"{span.get_span_context().trace_id:032x}"
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while not any(row["input"] for row in found) or not any(row["billable"] for row in found):
        assert time.monotonic() < deadline, collector.log()
        time.sleep(0.1)
        found = collector.rows(
            "SELECT name, kind, billable, cost_total, input, sdk FROM spans WHERE trace_id = unhex({t:String})",
            t=trace,
        )
    (call,) = [row for row in found if row["billable"]]
    assert (call["name"], call["kind"]) == (name, "client")
    assert call["cost_total"]
    assert call["sdk"].startswith("opentelemetry/")
    (asked,) = [row["input"] for row in found if row["input"]]
    assert question_of(parse(asked)) == "Why?"


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_official_exporter_does_not_repeat_what_is_refused_for_good(collector: Collector, way: str) -> None:
    exporter = span_exporter(collector, way, {"authorization": "Bearer sl_no_key"})
    span = TracerProvider().get_tracer("app").start_span("refused")
    span.end()
    before = collector.metric("spanledger_ingest_refused_requests_total")
    assert exporter.export([cast(ReadableSpan, span)]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert collector.metric("spanledger_ingest_refused_requests_total") == before + 1


def called(collector: Collector, content: bytes, method: str = TRACES, **metadata: str) -> tuple[Any, bytes]:
    """How a call over gRPC ends: its code and its answer."""
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        call = cast(Any, channel.unary_unary(method)).future(
            content, metadata=tuple(metadata.items()), timeout=30
        )
        code = call.code()
        return code, call.result() if code is grpc.StatusCode.OK else b""


def test_grpc_codes_are_otlps(collector: Collector) -> None:
    good = body(SpanData())
    assert called(collector, b"\xff\xff", **HEADERS)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert called(collector, good)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert called(collector, good, authorization="Bearer sl_x_y")[0] is grpc.StatusCode.UNAUTHENTICATED
    metrics = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert called(collector, b"", metrics, **HEADERS)[0] is grpc.StatusCode.UNIMPLEMENTED
    assert called(collector, b"", **HEADERS) == (grpc.StatusCode.OK, b"")


def test_partial_success_is_told_over_grpc_too(collector: Collector) -> None:
    code, answer = called(collector, body(SpanData(), SpanData(trace_id=b"")), **HEADERS)
    assert code is grpc.StatusCode.OK
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 1
    assert "trace id" in partial.error_message


def test_retry_info_is_what_grpc_clients_read() -> None:
    refused = errors.overloaded("spool_full", "the spool holds its limit", 5)
    status = Status.FromString(wire.status_with_retry(refused, "type.googleapis.com/google.rpc.RetryInfo"))
    assert (status.code, status.message) == (
        grpc.StatusCode.UNAVAILABLE.value[0],
        "the spool holds its limit",
    )
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds == 5
