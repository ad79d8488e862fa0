"""A request body as it came in, checked OTLP protobuf bytes and their counts out; answers as bytes.

Follows the OTLP specification 1.11: gzip or none, JSON by its own rules, Status bodies for errors.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from isal import isal_zlib
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from . import errors

Signal = Literal["traces", "logs"]
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_MAX_DEPTH = 90  # protobuf's own limit is 100

_REQUESTS: dict[Signal, type[ExportTraceServiceRequest | ExportLogsServiceRequest]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_REJECTED_FIELD = {"traces": "rejectedSpans", "logs": "rejectedLogRecords"}


@dataclass(frozen=True, slots=True)
class Checked:
    """Bytes that parse as an OTLP request. ``accepted`` + ``rejected`` = the items it holds."""

    body: bytes
    accepted: int
    rejected: int
    message: str


def media_type(content_type: str) -> str:
    """The media type alone.

    Raises:
        Refused: neither protobuf nor JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in (PROTOBUF, "application/protobuf"):
        return PROTOBUF
    if kind == JSON:
        return JSON
    raise errors.unsupported(f"content type {kind or 'missing'!r}: allowed are {PROTOBUF} and {JSON}")


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding, never holding more than ``limit`` bytes.

    Raises:
        Refused: too large, no gzip in spite of its name, or another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise errors.too_large(limit)
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise errors.unsupported(f"content encoding {encoding!r}: allowed are gzip, deflate and identity")
    if len(body) > limit:
        raise errors.too_large(limit)
    return _inflate(body, 15 if encoding == "deflate" else 31, limit)


class _Inflater(Protocol):
    """What isal's untyped decompressor does."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_INFLATE_ERROR = cast(type[Exception], isal_zlib.error)
_new_inflater = cast(Callable[[int], _Inflater], isal_zlib.decompressobj)  # pyright: ignore[reportUnknownMemberType]


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while body:  # a gzip body may have several members
        stream = _new_inflater(window)
        try:
            part = stream.decompress(body, left + 1)
        except _INFLATE_ERROR as wrong:
            raise errors.malformed(f"the body does not inflate: {wrong}") from None
        left -= len(part)
        if left < 0:
            raise errors.too_large(limit)
        if not stream.eof:
            raise errors.malformed("the compressed body ends too early")
        parts.append(part)
        body = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check(body: bytes, kind: str, signal: Signal) -> Checked:
    """Parse the whole body with the official classes; count what can be stored and what cannot.

    Raises:
        Refused: the body is no request of this signal.
    """
    request = _REQUESTS[signal]()
    if kind == JSON:
        _fill_json(request, body)
        body = request.SerializeToString()
    else:
        try:
            request.ParseFromString(body)
        except DecodeError as wrong:
            raise errors.malformed(f"the body is no OTLP {signal} request: {wrong}") from None
    if isinstance(request, ExportTraceServiceRequest):
        return _count_spans(request, body)
    return _count_logs(request, body)


def event_name(record: LogRecord) -> str:
    """The event's name, where senders new and old put it."""
    if record.event_name:
        return record.event_name
    return next((pair.value.string_value for pair in record.attributes if pair.key == "event.name"), "")


def is_genai(record: LogRecord) -> bool:
    """Whether a log record is an event about a model call. Logs at large are another system's work."""
    return event_name(record).startswith("gen_ai.")


def _count_logs(request: ExportLogsServiceRequest, body: bytes) -> Checked:
    total = good = 0
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            total += len(scope.log_records)
            good += sum(is_genai(r) and valid_ids(r.trace_id, r.span_id) for r in scope.log_records)
    bad = total - good
    message = f"{bad} log records are no gen_ai events of a span; only those are kept here" if bad else ""
    return Checked(body, good, bad, message)


def _count_spans(request: ExportTraceServiceRequest, body: bytes) -> Checked:
    total = bad = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            total += len(scope.spans)
            bad += sum(not valid_ids(span.trace_id, span.span_id) for span in scope.spans)
    message = (
        f"{bad} spans have no valid trace id (16 bytes) or span id (8 bytes), not all zero" if bad else ""
    )
    return Checked(body, total - bad, bad, message)


def valid_ids(trace_id: bytes, span_id: bytes) -> bool:
    """Whether both ids have their length and are not all zero."""
    return len(trace_id) == 16 and len(span_id) == 8 and trace_id != _NO_TRACE and span_id != _NO_SPAN


def success(kind: str, signal: Signal, checked: Checked) -> bytes:
    """The body of a 200: empty, or with partial_success when something was rejected."""
    if not checked.rejected:
        return b"{}" if kind == JSON else b""
    if kind == JSON:
        partial = {_REJECTED_FIELD[signal]: str(checked.rejected), "errorMessage": checked.message}
        return orjson.dumps({"partialSuccess": partial})
    inner = b"\x08" + _varint(checked.rejected) + _text_field(0x12, checked.message)
    return b"\x0a" + _varint(len(inner)) + inner


def status(kind: str, code: int, message: str) -> bytes:
    """A google.rpc.Status, as every 4xx and 5xx of OTLP/HTTP carries."""
    if kind == JSON:
        return orjson.dumps({"code": code, "message": message})
    return b"\x08" + _varint(code) + _text_field(0x12, message)


def status_with_retry(wrong: errors.Refused, type_url: str) -> bytes:
    """A google.rpc.Status whose details say after how many seconds to come back (RetryInfo)."""
    delay = b"\x08" + _varint(wrong.retry_after_s or 0)
    info = b"\x0a" + _varint(len(delay)) + delay
    detail = _text_field(0x0A, type_url) + b"\x12" + _varint(len(info)) + info
    return status(PROTOBUF, wrong.grpc_code, wrong.message) + b"\x1a" + _varint(len(detail)) + detail


def _text_field(tag: int, text: str) -> bytes:
    raw = text.encode()
    return bytes((tag,)) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


# -- OTLP/JSON: hex ids, integer enums, lowerCamelCase names, unknown fields ignored ------------------------

_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
        FieldDescriptor.CPPTYPE_ENUM,
    }
)


def _fill_json(request: Message, body: bytes) -> None:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise errors.malformed(f"the body is no JSON: {wrong}") from None
    try:
        _fill(request, data, 0)
    except (ValueError, TypeError, binascii.Error, OverflowError) as wrong:
        raise errors.malformed(f"the body is no OTLP/JSON request: {wrong}") from None


def _fill(message: Message, data: object, depth: int) -> None:
    if not isinstance(data, dict):
        raise TypeError(f"{message.DESCRIPTOR.name} must be an object")
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    fields = cast(dict[str, FieldDescriptor], message.DESCRIPTOR.fields_by_camelcase_name)
    for name, value in cast(dict[str, Any], data).items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        if field.is_repeated:
            _fill_list(message, field, value, depth)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            target: Message = getattr(message, field.name)
            target.SetInParent()
            _fill(target, value, depth + 1)
        else:
            setattr(message, field.name, _scalar(field, value))


def _fill_list(message: Message, field: FieldDescriptor, value: object, depth: int) -> None:
    if not isinstance(value, list):
        raise TypeError(f"{field.camelcase_name} must be a list")
    target = getattr(message, field.name)
    for item in cast(list[object], value):
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            _fill(target.add(), item, depth + 1)
        else:
            target.append(_scalar(field, item))


def _scalar(field: FieldDescriptor, value: object) -> object:
    kind = field.cpp_type
    if kind in _INTEGERS:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise TypeError(f"{field.camelcase_name} must be an integer")
        return int(value)
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        if isinstance(value, bool) or not isinstance(value, (int, str, float)):
            raise TypeError(f"{field.camelcase_name} must be a number")
        return float(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise TypeError(f"{field.camelcase_name} must be true or false")
        return value
    if not isinstance(value, str):
        raise TypeError(f"{field.camelcase_name} must be a string")
    if field.type != FieldDescriptor.TYPE_BYTES:
        return value
    return bytes.fromhex(value) if field.name in _HEX_FIELDS else base64.b64decode(value, validate=True)
