"""What the hand-written encoder writes is what the official protobuf classes read."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger import otlp
from spanledger.journal import frames
from spanledger.journal.frames import FinishedSpan
from tests.sdk.sink import plain


def facts(**changes: Any) -> FinishedSpan:
    span = FinishedSpan()
    defaults: dict[str, Any] = {
        "trace_id": bytes(range(16)), "span_id": b"12345678", "parent_span_id": b"", "name": "n", "kind": 1,
        "start_time": 1, "end_time": 2, "attributes": {}, "events": (), "links": (), "status_code": 0,
        "status_message": "", "trace_state": "", "flags": 1, "scope": otlp.scope("s", "1"),
        "dropped": (0, 0, 0),
    }  # fmt: skip
    for name, value in (defaults | changes).items():
        setattr(span, name, value)
    return span


def parse(*spans: FinishedSpan) -> ExportTraceServiceRequest:
    body = otlp.request(otlp.resource({"service.name": "app"}), b"".join(map(otlp.record, spans)))
    return ExportTraceServiceRequest.FromString(body)


def only(request: ExportTraceServiceRequest) -> Span:
    return request.resource_spans[0].scope_spans[0].spans[0]


def stored(span: FinishedSpan) -> bytes:
    """The record of a span that went through the journal."""
    out: list[bytes] = []
    size = frames.encode(frames.pack(span), out)
    assert size == sum(map(len, out))
    return b"".join(out)


def test_every_field_of_a_span_survives() -> None:
    span = facts(
        parent_span_id=b"87654321", name="chat gpt", kind=3, start_time=10**18, end_time=10**18 + 5,
        events=[("happened", 7, {"a": 1})], links=[(b"t" * 16, b"s" * 8, {"b": "c"}, "k=v", 1)],
        status_code=2, status_message="broke", trace_state="v=1", dropped=(1, 2, 3),
    )  # fmt: skip
    request = parse(span)
    assert request.resource_spans[0].resource.attributes[0].value.string_value == "app"
    assert request.resource_spans[0].scope_spans[0].scope.name == "s"
    read = only(request)
    assert (read.trace_id, read.span_id, read.parent_span_id) == (bytes(range(16)), b"12345678", b"87654321")
    assert (read.name, read.kind, read.trace_state, read.flags) == ("chat gpt", 3, "v=1", 1)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (10**18, 10**18 + 5)
    assert (read.status.code, read.status.message) == (2, "broke")
    assert (read.events[0].name, read.events[0].time_unix_nano) == ("happened", 7)
    assert (read.links[0].trace_id, read.links[0].trace_state) == (b"t" * 16, "k=v")
    assert (read.dropped_attributes_count, read.dropped_events_count, read.dropped_links_count) == (1, 2, 3)


scalars = st.one_of(
    st.text(max_size=300),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=50),
)
values = st.one_of(
    scalars, st.lists(scalars, max_size=5), st.dictionaries(st.text(max_size=9), scalars, max_size=3)
)


@given(st.dictionaries(st.text(min_size=1, max_size=200), values, max_size=20), st.integers(0, 40_000))
def test_any_attributes_survive(attributes: dict[str, Any], padding: int) -> None:
    attributes = {**attributes, "padding": "x" * padding}
    read = only(parse(facts(attributes=attributes)))
    assert {pair.key: plain(pair.value) for pair in read.attributes} == attributes


def test_values_otlp_has_no_type_for_are_told_as_text() -> None:
    read = only(parse(facts(attributes={"big": 2**70, "odd": "a\ud800b", "object": math.pi, "none": None})))
    got = {pair.key: plain(pair.value) for pair in read.attributes}
    assert got == {"big": str(2**70), "odd": "a?b", "object": math.pi, "none": None}


def test_the_same_short_text_under_two_keys_stays_apart() -> None:
    for attributes in ({"a": "x", "b": "x"}, {"b": "x", "a": "y"}, {"a": 1, "b": True}):
        read = only(parse(facts(attributes=dict(attributes))))
        assert {pair.key: plain(pair.value) for pair in read.attributes} == attributes


@given(st.dictionaries(st.text(min_size=1, max_size=200), values, max_size=20))
def test_a_span_in_the_journal_is_the_span_that_was_recorded(attributes: dict[str, Any]) -> None:
    span = facts(attributes=attributes, events=(("e", 1, {"a": 1}),))
    assert stored(span) == otlp.record(span)


def test_a_value_the_journal_knows_no_form_for_is_stored_as_otlp() -> None:
    class Text(str): ...

    span = facts(attributes={"text": Text("x")})
    assert frames.pack(span) == stored(span) == otlp.record(span)


def test_a_clock_set_back_never_makes_a_negative_duration() -> None:
    read = only(parse(facts(start_time=100, end_time=50)))
    assert read.end_time_unix_nano == read.start_time_unix_nano == 100
