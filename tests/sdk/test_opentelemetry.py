"""As OpenTelemetry's provider: what its API promises holds, and other instrumentations nest both ways."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

import spanledger
from spanledger import runtime
from spanledger.testing.capture import CapturedSpans, capture
from tests.sdk.sink import Sink, facts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture() as captured:
        yield captured


@pytest.fixture
def tracer(spans: CapturedSpans) -> trace.Tracer:
    return trace.get_tracer("library", "1.2", attributes={"a": "b"})


def test_the_global_provider_is_ours_and_the_kinds_are_kept(sink: Sink) -> None:
    spanledger.init(endpoint=sink.url, mode="memory")
    tracer = trace.get_tracer("library", "1.2", attributes={"a": "b"})
    for kind in SpanKind:
        tracer.start_span(kind.name, kind=kind).end()
    assert spanledger.flush()
    assert {span.name: span.kind for span in sink.spans} == {kind.name: kind.value + 1 for kind in SpanKind}
    scope = sink.requests[0].resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version, scope.attributes[0].key) == ("library", "1.2", "a")
    spanledger.shutdown(0)


def test_spans_nest_with_ours_in_both_directions(tracer: trace.Tracer, spans: CapturedSpans) -> None:
    with (
        tracer.start_as_current_span("theirs above"),
        spanledger.span("ours"),
        tracer.start_as_current_span("theirs below"),
    ):
        pass
    below, ours, above = spans
    assert below.parent_span_id == ours.span_id
    assert ours.parent_span_id == above.span_id
    assert above.parent_span_id == ""
    assert len({span.trace_id for span in spans}) == 1


def test_a_span_made_current_by_opentelemetrys_functions_is_current_for_us(
    tracer: trace.Tracer, spans: CapturedSpans
) -> None:
    span = tracer.start_span("manual")
    token = context.attach(trace.set_span_in_context(span))
    with spanledger.span("below"):
        assert trace.get_current_span() is not span
    context.detach(token)
    span.end()
    assert spans.named("below").parent_span_id == spans.named("manual").span_id


def test_traceparent_comes_in_and_goes_out(tracer: trace.Tracer, spans: CapturedSpans) -> None:
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    incoming = propagate.extract({"traceparent": header, "tracestate": "v=1"})
    with tracer.start_as_current_span("server", context=incoming):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        assert carrier["traceparent"] == spanledger.traceparent()
        assert carrier["tracestate"] == "v=1"
    (span,) = spans
    assert (span.trace_id, span.parent_span_id) == (header[3:35], header[36:52])


def test_attributes_are_copied_and_bounded(tracer: trace.Tracer, spans: CapturedSpans) -> None:
    names = ["a", "b"]
    with tracer.start_as_current_span("s", attributes={"list": names}) as span:
        names.append("c")
        span.set_attribute("k", "old")
        span.set_attribute("k", "new")
        span.set_attribute("", "ignored")
        span.set_attributes({f"n{i}": i for i in range(200)})
    got = spans[0].attributes
    assert got["list"] == ("a", "b")
    assert got["k"] == "new"
    assert len(got) == 128


def test_events_links_and_their_limits(sink: Sink) -> None:
    spanledger.init(endpoint=sink.url, mode="memory")
    other = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    invalid = SpanContext(0, 0, is_remote=True)
    tracer = trace.get_tracer("library")
    span = tracer.start_span("s", links=[Link(other, {"why": "batch"})])
    span.add_link(other)
    span.add_link(invalid)
    span.add_event("at", {"n": 1}, timestamp=123)
    for number in range(130):
        span.add_event(str(number))
    span.end()
    assert spanledger.flush()
    (got,) = sink.spans
    assert [link.span_id for link in got.links] == [(2).to_bytes(8, "big")] * 2
    assert got.links[0].attributes[0].value.string_value == "batch"
    assert (got.events[0].name, got.events[0].time_unix_nano) == ("at", 123)
    assert (len(got.events), got.dropped_events_count) == (128, 3)
    spanledger.shutdown(0)


@pytest.mark.parametrize(
    ("calls", "code", "message"),
    [
        ([], "ok", ""),
        ([(StatusCode.ERROR, "bad")], "error", "bad"),
        ([(StatusCode.ERROR, "bad"), (StatusCode.OK, None)], "ok", ""),
        ([(StatusCode.OK, None), (StatusCode.ERROR, "late")], "ok", ""),
        ([(StatusCode.ERROR, "bad"), (StatusCode.UNSET, None)], "error", "bad"),
    ],
)
def test_status_follows_the_specification(
    tracer: trace.Tracer, spans: CapturedSpans, calls: list[Any], code: str, message: str
) -> None:
    with tracer.start_as_current_span("s") as span:
        for status, description in calls:
            span.set_status(Status(status, description))
    assert (spans[0].status, spans[0].status_message) == (code, message)


def test_an_exception_is_an_event_and_the_status(tracer: trace.Tracer, spans: CapturedSpans) -> None:
    with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("s"):
        raise ValueError("no")
    with (
        pytest.raises(ValueError, match="no"),
        tracer.start_as_current_span("quiet", record_exception=False, set_status_on_exception=False),
    ):
        raise ValueError("no")
    (name, _, pairs), *_ = spans[0].events
    assert (name, pairs["exception.type"], pairs["exception.message"]) == ("exception", "ValueError", "no")
    assert "test_an_exception_is_an_event" in pairs["exception.stacktrace"]
    assert (spans[0].status, spans[1].status, spans[1].events) == ("error", "ok", [])


def test_an_ended_span_takes_nothing_more(tracer: trace.Tracer, spans: CapturedSpans) -> None:
    span = tracer.start_span("s", start_time=100)
    assert span.is_recording()
    span.end(200)
    span.set_attribute("late", 1)
    span.add_event("late")
    span.update_name("late")
    span.end(300)
    assert not span.is_recording()
    (got,) = spans
    assert (got.name, got.start_time, got.end_time, got.attributes, got.events) == ("s", 100, 200, {}, [])


def test_the_context_manager_decorates_sync_and_async_functions(
    tracer: trace.Tracer, spans: CapturedSpans
) -> None:
    @tracer.start_as_current_span("sync")
    def sync() -> bool:
        return trace.get_current_span().is_recording()

    @tracer.start_as_current_span("async")
    async def asynchronous() -> bool:
        return trace.get_current_span().is_recording()

    assert (sync(), sync(), asyncio.run(asynchronous())) == (True, True, True)
    assert [span.name for span in spans] == ["sync", "sync", "async"]


def test_sampling_keeps_its_share_of_traces_whole_and_every_error_and_costly_call() -> None:
    with capture(sample_rate=0.25, bits=None) as spans:
        rt = runtime.current()
        assert rt.ledger is not None
        from spanledger import ids

        rt.ledger.provider.use_sources(ids.clock, ids.random_bits)
        for _ in range(400):
            with spanledger.span("root"), spanledger.span("child"):
                pass
        kept = len(spans)
        traces = {span.trace_id for span in spans}
        assert kept == 2 * len(traces)
        assert 50 < len(traces) < 150
        assert {span.attributes["spanledger.sample_rate"] for span in spans} == {0.25}
        spans.clear()
        for _ in range(50):
            with pytest.raises(KeyError), spanledger.span("bad"):
                raise KeyError
            with spanledger.span("costly") as span:
                span.update(usage={"input_tokens": 9_000, "output_tokens": 2_000})
        assert len(spans) == 100
        assert {span.attributes["spanledger.sample_rate"] for span in spans} == {1.0}
        assert rt.recorder.sampled_out == 800 - kept


def test_an_sdk_exporter_added_to_our_provider_sees_every_span(spans: CapturedSpans) -> None:
    exporter = InMemorySpanExporter()
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        with spanledger.span("parent"), spanledger.span("child", feature="f") as child:
            child.score("s", 1)
    finally:
        provider.processors.clear()
        provider.use(provider.recorder)
    seen = exporter.get_finished_spans()
    assert [span.name for span in seen] == ["child", "parent"] == [span.name for span in spans]
    assert seen[0].parent is not None
    assert seen[1].context is not None
    assert seen[0].parent.span_id == seen[1].context.span_id
    assert seen[0].attributes == {"spanledger.feature": "f"}
    assert seen[0].events[0].name == "gen_ai.evaluation.result"


JOINING = """
    import os
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import anthropic
    import spanledger
    from spanledger.testing.model_server import ModelServer

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    spanledger.init(mode="memory")
    assert trace.get_tracer_provider() is provider

    @spanledger.observe
    def ours(question):
        spanledger.update(user_id="u1")
        with trace.get_tracer("app").start_as_current_span("theirs"):
            with spanledger.span("inner") as span:
                span.score("s", 0.5)
        return "answer"

    @spanledger.observe
    def broken():
        raise ValueError("no")

    with trace.get_tracer("app").start_as_current_span("root"):
        ours("why")
    try:
        broken()
    except ValueError:
        pass
    with ModelServer(answer="Paris") as server:
        with spanledger.wrap(anthropic.Anthropic(base_url=server.url, api_key="any")) as client:
            client.messages.create(model="c", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    spanledger.flush()
    print(sorted({span.name for span in exporter.get_finished_spans()}))
"""


def run(program: str, sink: Sink, tmp_path: Path, **env: str) -> str:
    environment = {
        "PATH": "/usr/bin:/bin",
        "SPANLEDGER_ENDPOINT": sink.url,
        "SPANLEDGER_HOME": str(tmp_path),
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(program)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_sdk_that_is_configured_is_joined_and_not_replaced(sink: Sink, tmp_path: Path) -> None:
    run(JOINING, sink, tmp_path)
    got = {span.name: span for span in sink.spans}
    assert sorted(span.name for span in sink.spans) == ["broken", "chat c", "inner", "ours", "root", "theirs"]
    assert got["inner"].parent_span_id == got["theirs"].span_id
    assert got["theirs"].parent_span_id == got["ours"].span_id
    assert got["ours"].parent_span_id == got["root"].span_id
    assert facts(got["ours"])["spanledger.input"] == '{"question":"why"}'
    assert facts(got["ours"])["spanledger.output"] == '"answer"'
    assert facts(got["inner"])["user.id"] == "u1"
    assert got["inner"].events[0].name == "gen_ai.evaluation.result"
    assert got["broken"].status.code == 2
    assert facts(got["chat c"])["gen_ai.usage.output_tokens"] > 0


INSTRUMENTED = """
    import openai
    import spanledger
    from spanledger.testing.model_server import ModelServer
    {setup}
    spanledger.init(mode="memory")
    with ModelServer(answer="Paris") as server, openai.OpenAI(base_url=server.base_url, api_key="any") as client:
        with spanledger.span("root"):
            client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "hi"}}])
    spanledger.flush()
"""


@pytest.mark.parametrize(
    ("setup", "tokens"),
    [
        (
            "from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor; "
            "OpenAIInstrumentor().instrument()",
            "gen_ai.usage.output_tokens",
        ),
        (
            "from openinference.instrumentation.openai import OpenAIInstrumentor; "
            "OpenAIInstrumentor().instrument()",
            "llm.token_count.completion",
        ),
    ],
    ids=["opentelemetry", "openinference"],
)
def test_other_vendors_instrumentations_record_through_our_provider(
    sink: Sink, tmp_path: Path, setup: str, tokens: str
) -> None:
    run(INSTRUMENTED.format(setup=setup), sink, tmp_path)
    theirs, root = sink.spans
    assert root.name == "root"
    assert theirs.parent_span_id == root.span_id
    assert facts(theirs)[tokens] > 0


def test_unconfigured_it_warns_once_and_keeps_the_spans(sink: Sink, tmp_path: Path) -> None:
    program = """
        import logging, spanledger
        logging.basicConfig(level="WARNING", format="%(message)s", stream=__import__("sys").stdout)
        @spanledger.observe
        def work(): return 1
        work(); work()
        print(spanledger.counters())
    """
    told = run(program, sink, tmp_path, SPANLEDGER_ENDPOINT="http://127.0.0.1:9")
    assert "recorded=2" in told
    program = program.replace(
        "import logging", "import os; del os.environ['SPANLEDGER_ENDPOINT']; import logging"
    )
    told = run(program, sink, tmp_path)
    assert told.count("was not configured") == 1


def test_only_the_api_and_orjson_are_needed(sink: Sink, tmp_path: Path) -> None:
    program = """
        import sys
        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests",
                                    "httpx", "pydantic")):
                    raise ImportError(name)
        sys.meta_path.insert(0, Refuse())
        import spanledger
        spanledger.init()
        with spanledger.span("s"):
            pass
        assert spanledger.flush(20)
    """
    run(program, sink, tmp_path)
    assert sink.distinct() == 1
