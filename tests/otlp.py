"""OTLP trace requests from plain values, as any exporter would send them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(kw_only=True)
class SpanData:
    """A span to send; ids and times are made where none are given."""

    name: str = "chat gpt-4o"
    attributes: Mapping[str, object] = field(default_factory=dict[str, object])
    trace_id: bytes = field(default_factory=lambda: os.urandom(16))
    span_id: bytes = field(default_factory=lambda: os.urandom(8))
    parent_span_id: bytes = b""
    start: int = field(default_factory=time.time_ns)
    duration_ns: int = 1_000_000
    kind: int = 3
    status: int = 0
    message: str = ""
    events: list[tuple[str, Mapping[str, object]]] = field(
        default_factory=list[tuple[str, Mapping[str, object]]]
    )
    scope: str = "test"


def chat(**given: object) -> dict[str, object]:
    """Attributes of a model call with usage; dots in names are written as two underscores."""
    attributes: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    attributes.update({name.replace("__", "."): value for name, value in given.items()})
    return {name: value for name, value in attributes.items() if value is not None}


def request(
    spans: Iterable[SpanData], resource: Mapping[str, object] | None = None
) -> ExportTraceServiceRequest:
    """One request of one resource; spans are grouped by scope."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.extend(pairs(resource or {"service.name": "shop"}))
    scopes: dict[str, Any] = {}
    for data in spans:
        if data.scope not in scopes:
            scopes[data.scope] = group.scope_spans.add()
            scopes[data.scope].scope.name = data.scope
        span = scopes[data.scope].spans.add(
            trace_id=data.trace_id,
            span_id=data.span_id,
            parent_span_id=data.parent_span_id,
            name=data.name,
            kind=data.kind,
            start_time_unix_nano=data.start,
            end_time_unix_nano=data.start + data.duration_ns,
        )
        span.attributes.extend(pairs(data.attributes))
        span.status.code = data.status
        span.status.message = data.message
        for name, attributes in data.events:
            span.events.add(name=name, time_unix_nano=data.start, attributes=pairs(attributes))
    return message


def body(*spans: SpanData, resource: Mapping[str, object] | None = None) -> bytes:
    """The protobuf bytes of one request."""
    return request(spans, resource).SerializeToString()


def pairs(attributes: Mapping[str, object]) -> list[KeyValue]:
    """Attributes as OTLP carries them."""
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    found = AnyValue()
    if isinstance(value, list):
        found.array_value.values.extend(_any(item) for item in cast(list[object], value))
        return found
    if isinstance(value, dict):
        found.kvlist_value.values.extend(pairs(cast(dict[str, object], value)))
        return found
    return AnyValue(string_value=str(value))
