"""Official OTLP trace bytes in, messages shaped for a fast Python loop out.

Same field numbers as opentelemetry-proto, fewer fields, and one trick: attributes are declared as
``repeated bytes``, so that an attribute is one bytes object (a serialized KeyValue) that a memo can
recognise, where the official classes cost four attribute look-ups and three objects each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "fixed32": _Field.TYPE_FIXED32,
    "fixed64": _Field.TYPE_FIXED64,
}
# Strings are read as bytes too: most go into a column without ever becoming a Python str.
_MESSAGES: dict[str, list[tuple[int, str, str]]] = {
    "Request": [(1, "resource_spans", "*ResourceSpans")],
    "ResourceSpans": [(1, "resource", "Resource"), (2, "scope_spans", "*ScopeSpans")],
    "Resource": [(1, "attributes", "*bytes")],
    "ScopeSpans": [(1, "scope", "Scope"), (2, "spans", "*Span")],
    "Scope": [(1, "name", "bytes"), (2, "version", "bytes")],
    "Span": [
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (4, "parent_span_id", "bytes"),
        (5, "name", "bytes"),
        (6, "kind", "int32"),
        (7, "start", "fixed64"),
        (8, "end", "fixed64"),
        (9, "attributes", "*bytes"),
        (11, "events", "*Event"),
        (13, "links", "*Link"),
        (15, "status", "Status"),
    ],
    "Event": [(1, "time", "fixed64"), (2, "name", "bytes"), (3, "attributes", "*bytes")],
    "Link": [(1, "trace_id", "bytes"), (2, "span_id", "bytes"), (4, "attributes", "*bytes")],
    "Status": [(2, "message", "bytes"), (3, "code", "int32")],
}


class Scope(Protocol):
    """An instrumentation scope."""

    name: bytes
    version: bytes


class Status(Protocol):
    """A span's status; code 0 unset, 1 ok, 2 error."""

    message: bytes
    code: int


class Event(Protocol):
    """A span event; attributes are serialized KeyValues, time is in ns."""

    time: int
    name: bytes
    attributes: Sequence[bytes]


class Link(Protocol):
    """A link to another span."""

    trace_id: bytes
    span_id: bytes
    attributes: Sequence[bytes]


class Span(Protocol):
    """A span; attributes are serialized KeyValues, times are in ns."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: bytes
    kind: int
    start: int
    end: int
    attributes: Sequence[bytes]
    events: Sequence[Event]
    links: Sequence[Link]
    status: Status

    def SerializeToString(self) -> bytes:
        """The span's bytes again."""
        ...


class Resource(Protocol):
    """Where spans come from; attributes are serialized KeyValues."""

    attributes: Sequence[bytes]


class ScopeSpans(Protocol):
    """The spans of one instrumentation scope."""

    scope: Scope
    spans: Sequence[Span]


class ResourceSpans(Protocol):
    """The spans of one resource."""

    resource: Resource
    scope_spans: Sequence[ScopeSpans]


class Request(Protocol):
    """An ExportTraceServiceRequest."""

    resource_spans: Sequence[ResourceSpans]


class _RequestClass(Protocol):
    def FromString(self, data: bytes) -> Request: ...


def _build() -> _RequestClass:
    file = descriptor_pb2.FileDescriptorProto(
        name="spanledger/slim.proto", package="spanledger.slim", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            field = message.field.add(name=field_name, number=number, label=label)
            field.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
            if kind not in _SCALARS:
                field.type_name = f".spanledger.slim.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return cast(
        _RequestClass, message_factory.GetMessageClass(pool.FindMessageTypeByName("spanledger.slim.Request"))
    )


_Request = _build()


def parse(body: bytes) -> Request:
    """Read a request whose wellformedness the official classes have already checked.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no such message.
    """
    return _Request.FromString(body)
