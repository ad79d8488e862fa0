"""The receiver keeps OTLP's rules: real exporters are understood, refusals carry a Status, limits hold."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from tests.otlp import SpanData, body, chat, request
from tests.servers import command, free_port
from tests.stores import Store

from .conftest import KEY, PROTOBUF, Collector, make

pytestmark = pytest.mark.clickhouse

JSON = "application/json"
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def as_json(*spans: SpanData) -> bytes:
    """OTLP/JSON by its own rules: ids in hexadecimal, 64-bit integers as strings, enums as numbers."""
    data = MessageToDict(request(spans), use_integers_for_enums=True)
    for group in data["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for sent, span in zip(scope["spans"], spans, strict=True):
                sent["traceId"], sent["spanId"] = span.trace_id.hex(), span.span_id.hex()
                sent["aFieldOfTomorrow"] = {"x": [1]}
    return json.dumps(data).encode()


def test_every_way_in_stores_the_same_row(collector: Collector) -> None:
    spans = [SpanData(name=f"call {n}", attributes=chat(app__list=[1, "a"], app__n=2**60)) for n in range(5)]
    plain = body(spans[0])
    answers_ = [
        collector.post(plain),
        collector.post(gzip.compress(body(spans[1])), content_encoding="gzip"),
        collector.post(as_json(spans[2]), content_type=JSON),
        collector.post(
            zlib.compress(as_json(spans[3])),
            content_type=f"{JSON}; charset=utf-8",
            content_encoding="deflate",
        ),
    ]
    assert [(a.status, a.content, a.headers["content-type"]) for a in answers_] == [
        (200, b"", PROTOBUF), (200, b"", PROTOBUF), (200, b"{}", JSON), (200, b"{}", JSON),
    ]  # fmt: skip
    assert exported(collector, body(spans[4])) is grpc.StatusCode.OK
    rows = collector.wait_for(*spans)
    assert [row["name"] for row in rows] == [span.name for span in spans]
    assert {(row["input_tokens"], row["cost_total"]) for row in rows} == {(1000, rows[0]["cost_total"])}
    assert {json.dumps(row["attributes"], sort_keys=True) for row in rows} == {
        json.dumps({"app.list": '[1,"a"]', "app.n": str(2**60)})
    }


def test_refusals_are_status_bodies_in_the_senders_encoding(collector: Collector) -> None:
    before = collector.metric("spanledger_ingest_refused_requests_total")
    bad_json = {"content_type": JSON}
    cases = [
        (400, collector.post(b"\xff\xff\xff")),
        (400, collector.post(b"{not json", **bad_json)),
        (400, collector.post(b'{"resourceSpans": 3}', **bad_json)),
        (400, collector.post(b"no gzip", content_encoding="gzip")),
        (400, collector.post(gzip.compress(body(SpanData()))[:-9], content_encoding="gzip")),
        (415, collector.post(b"x", content_type="text/plain")),
        (415, collector.post(b"x", content_encoding="br")),
        (404, collector.post(b"", "/v1/nope")),
        (404, collector.post(b"{}", "/v1/traces/extra", **bad_json)),
        (405, collector.post(b"", method="GET")),
        (401, collector.post(b"", key=None)),
        (401, collector.post(b"{}", key="sl_no_key", **bad_json)),
    ]
    for expected, answer in cases:
        assert answer.status == expected, answer
        if answer.headers["content-type"] == JSON:
            assert set(json.loads(answer.content)) == {"code", "message"}
        else:
            assert answer.headers["content-type"] == PROTOBUF
            assert answer.content[0] == 0x08
    assert cases[9][1].headers["allow"] == "POST"
    assert collector.metric("spanledger_ingest_refused_requests_total") - before == len(cases)
    assert collector.post(b"").status == 200, "an empty request is a success"


def test_spans_without_ids_are_rejected_and_the_others_kept(collector: Collector) -> None:
    good, bad = SpanData(), [SpanData(trace_id=b""), SpanData(span_id=bytes(8)), SpanData(trace_id=b"short")]
    answer = collector.post(body(good, *bad))
    assert answer.status == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 3
    assert "trace id" in partial.error_message
    told = json.loads(collector.post(as_json(bad[0]), content_type=JSON).content)
    assert told["partialSuccess"]["rejectedSpans"] == "1"
    collector.wait_for(good)


def test_limit_holds_before_and_after_inflation(collector: Collector) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < 65536
    for answer in (collector.post(bytes(270_000)), collector.post(bomb, content_encoding="gzip")):
        assert answer.status == 413
        assert "retry-after" not in answer.headers
        assert answer.content[0] == 0x08
    assert exported(collector, bytes(270_000)) is grpc.StatusCode.RESOURCE_EXHAUSTED


def exported(collector: Collector, content: bytes) -> grpc.StatusCode:
    """How an export over gRPC ends."""
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc_port}") as channel:
        method = cast(Any, channel.unary_unary(METHOD))
        call = method.future(content, metadata=(("authorization", f"Bearer {KEY}"),), timeout=30)
        if call.code() is grpc.StatusCode.UNAVAILABLE:
            assert b"RetryInfo" in dict(call.trailing_metadata())["grpc-status-details-bin"]
        return call.code()


def test_full_spool_asks_to_come_back_and_loses_nothing(module_store: Store, tmp_path: Path) -> None:
    collector = make(module_store, tmp_path / "full", SPANLEDGER_SPOOL_MAX_BYTES="1048576")
    with collector.running():
        pass  # has read its keys, and keeps a copy
    away = f"http://127.0.0.1:{free_port()}/spanledger"
    alone = replace(collector, environment={**collector.environment, "SPANLEDGER_CLICKHOUSE_URL": away})
    spans = [SpanData(attributes={"text": "x" * 60_000}) for _ in range(30)]
    with alone.running():
        told = [alone.post(body(span)) for span in spans]
        accepted = [span for span, answer in zip(spans, told, strict=True) if answer.status == 200]
        assert 10 < len(accepted) < 20
        assert {(a.status, a.headers.get("retry-after")) for a in told} == {(200, None), (503, "5")}
        assert alone.post(b"", "/healthz", method="GET").status == 200
        assert exported(alone, body(spans[-1])) is grpc.StatusCode.UNAVAILABLE
    with collector.running():
        collector.wait_for(*accepted)


def test_port_in_use_and_second_collector_are_refused_by_name(collector: Collector) -> None:
    def run(**changed: str) -> tuple[int, str]:
        env = {**os.environ, **collector.environment, **changed}
        done = subprocess.run(command("collector"), env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    code, told = run()
    assert code == 1
    assert "SPANLEDGER_COLLECTOR_PORT" in told
    code, told = run(SPANLEDGER_COLLECTOR_PORT=str(free_port()), SPANLEDGER_GRPC_PORT=str(free_port()))
    assert code == 1
    assert "in use by another collector" in told
    code, told = run(SPANLEDGER_SPOOL_MAX_BYTES="12")
    assert code == 2
    assert "SPANLEDGER_SPOOL_MAX_BYTES" in told
