"""observe, span, update and score do what they say and leave the code they surround alone."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import spanledger
from tests.sdk.sink import Sink, facts


@pytest.fixture(autouse=True)
def configured(sink: Sink) -> Iterator[None]:
    spanledger.init(endpoint=sink.url, key="k", mode="memory")
    yield
    spanledger.shutdown(0)


def recorded(sink: Sink) -> dict[str, Span]:
    assert spanledger.flush()
    return {span.name.rpartition(".")[2]: span for span in sink.spans}


def test_arguments_and_result_are_recorded(sink: Sink) -> None:
    @spanledger.observe
    def work(a: int, b: int = 2, *rest: int, **more: int) -> dict[str, int]:
        return {"sum": a + b + sum(rest) + sum(more.values())}

    assert work(1, 5, 3, z=4) == {"sum": 13}
    span = recorded(sink)["work"]
    assert json.loads(facts(span)["spanledger.input"]) == {"a": 1, "b": 5, "*rest": [3], "z": 4}
    assert json.loads(facts(span)["spanledger.output"]) == {"sum": 13}


def test_arguments_are_recorded_as_they_were_before_the_call_changed_them(sink: Sink) -> None:
    @spanledger.observe
    def work(items: list[int]) -> list[int]:
        items.append(2)
        return items

    work([1])
    got = facts(recorded(sink)["work"])
    assert (got["spanledger.input"], got["spanledger.output"]) == ('{"items":[1]}', "[1,2]")


def test_recording_can_be_left_out_and_facts_can_be_set(sink: Sink) -> None:
    @spanledger.observe(
        name="tool", operation="execute_tool", record_arguments=False, record_result=False, feature="f"
    )
    def work(secret: str) -> str:
        return secret

    work("s")
    got = facts(recorded(sink)["tool"])
    assert got == {"gen_ai.operation.name": "execute_tool", "spanledger.feature": "f"}


def test_the_decorated_function_keeps_its_signature_and_kind() -> None:
    @spanledger.observe
    def plain(a: int) -> str:
        """Says it."""
        return str(a)

    @spanledger.observe
    async def coroutine() -> None: ...

    @spanledger.observe
    def generator() -> Iterator[int]:
        yield 1

    @spanledger.observe
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    assert (plain.__name__, plain.__doc__) == ("plain", "Says it.")
    assert str(inspect.signature(plain)) == "(a: 'int') -> 'str'"
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)


def test_methods_class_methods_and_static_methods(sink: Sink) -> None:
    class Shop:
        @spanledger.observe
        def method(self, a: int) -> int:
            return a

        @spanledger.observe
        @classmethod
        def above(cls, a: int) -> str:
            return cls.__name__

        @classmethod
        @spanledger.observe
        def below(cls, a: int) -> str:
            return cls.__name__

        @spanledger.observe
        @staticmethod
        def static(a: int) -> int:
            return a

    shop = Shop()
    assert (shop.method(1), Shop.above(2), Shop.below(3), shop.static(4)) == (1, "Shop", "Shop", 4)
    got = {name: facts(span)["spanledger.input"] for name, span in recorded(sink).items()}
    assert got == {"method": '{"a":1}', "above": '{"a":2}', "below": '{"a":3}', "static": '{"a":4}'}


def test_an_exception_passes_through_unchanged_and_is_recorded(sink: Sink) -> None:
    error = ValueError("broken")

    @spanledger.observe
    def work() -> None:
        raise error

    with pytest.raises(ValueError, match="broken") as caught:
        work()
    assert caught.value is error
    span = recorded(sink)["work"]
    assert (span.status.code, span.status.message) == (2, "ValueError: broken")
    assert span.events[0].name == "exception"
    assert facts(span)["error.type"] == "ValueError"


@pytest.mark.anyio
async def test_a_cancelled_coroutine_is_recorded_as_cancelled_and_not_as_an_error(sink: Sink) -> None:
    @spanledger.observe
    async def work() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span = recorded(sink)["work"]
    assert facts(span)["spanledger.status"] == "cancelled"
    assert span.status.code == 0


def test_a_generator_passes_values_exceptions_and_its_return_value_both_ways(sink: Sink) -> None:
    @spanledger.observe
    def echo() -> Generator[Any, Any, Any]:
        got: Any = yield "ready"
        try:
            got = yield got * 2
        except KeyError:
            got = yield "caught"
        return got

    running = echo()
    assert next(running) == "ready"
    assert running.send(4) == 8
    assert running.throw(KeyError("k")) == "caught"
    with pytest.raises(StopIteration) as stop:
        running.send("bye")
    assert stop.value.value == "bye"
    got = facts(recorded(sink)["echo"])
    assert json.loads(got["spanledger.output"]) == ["ready", 8, "caught", "bye"]


def test_a_generator_closed_early_keeps_what_it_gave(sink: Sink) -> None:
    closed: list[bool] = []

    @spanledger.observe
    def stream() -> Generator[str]:
        try:
            yield from "hello"
        finally:
            closed.append(True)

    running = stream()
    assert [next(running), next(running)] == ["h", "e"]
    running.close()
    got = facts(recorded(sink)["stream"])
    assert closed == [True]
    assert got["spanledger.output"] == '"he"'
    assert got["spanledger.status"] == "cancelled"


@pytest.mark.anyio
async def test_an_async_generator_read_whole_and_closed_early(sink: Sink) -> None:
    @spanledger.observe(name="whole")
    async def whole() -> AsyncIterator[str]:
        for letter in "abc":
            yield letter

    @spanledger.observe(name="part")
    async def part() -> AsyncGenerator[str]:
        for letter in "abc":
            yield letter

    assert [letter async for letter in whole()] == ["a", "b", "c"]
    running = part()
    async with contextlib.aclosing(running) as letters:
        async for _ in letters:
            break
    got = recorded(sink)
    assert facts(got["whole"])["spanledger.output"] == '"abc"'
    assert facts(got["part"])["spanledger.output"] == '"a"'
    assert facts(got["part"])["spanledger.status"] == "cancelled"


def test_a_generators_span_is_current_inside_it_only(sink: Sink) -> None:
    @spanledger.observe
    def inner() -> str:
        return spanledger.traceparent()

    @spanledger.observe
    def stream() -> Iterator[str]:
        yield inner()

    @spanledger.observe
    def outer() -> tuple[str, str, str]:
        before = spanledger.traceparent()
        for seen in stream():
            return before, seen, spanledger.traceparent()
        raise AssertionError

    before, _, after = outer()
    assert before == after
    got = recorded(sink)
    assert got["inner"].parent_span_id == got["stream"].span_id
    assert got["stream"].parent_span_id == got["outer"].span_id


def test_threads_and_tasks_nest_by_context(sink: Sink) -> None:
    @spanledger.observe
    async def child(number: int) -> str:
        await asyncio.sleep(0)
        return spanledger.traceparent()

    @spanledger.observe
    async def parent() -> list[str]:
        return [*await asyncio.gather(*(child(n) for n in range(5))), await asyncio.to_thread(sync_child)]

    @spanledger.observe
    def sync_child() -> str:
        return spanledger.traceparent()

    asyncio.run(parent())
    spanledger.flush()
    root = next(span for span in sink.spans if not span.parent_span_id)
    assert len(sink.spans) == 7
    assert {span.parent_span_id for span in sink.spans} == {b"", root.span_id}
    assert {span.trace_id for span in sink.spans} == {root.trace_id}


def test_who_it_is_for_is_handed_down(sink: Sink) -> None:
    with spanledger.span("root"):
        with spanledger.span("before"):
            pass
        spanledger.update(user_id="u1", session_id="s1", tags=["a", "b"], metadata={"plan": "pro", "n": 3})
        with spanledger.span("after"), spanledger.span("deep"):
            pass
    got = {name: facts(span) for name, span in recorded(sink).items()}
    assert got["before"] == {}
    assert got["after"] == got["deep"]
    assert got["deep"] == {"user.id": "u1", "session.id": "s1", "spanledger.tags": ["a", "b"]}
    assert got["root"]["spanledger.metadata.plan"] == "pro"
    assert got["root"]["spanledger.metadata.n"] == 3


def test_who_an_observed_function_or_a_span_is_for_is_handed_down(sink: Sink) -> None:
    @spanledger.observe(name="outer", feature="search", tags="beta", model="m")
    def outer() -> None:
        with spanledger.span("inner", attributes={"user.id": "u2", "other": 1}), spanledger.span("deep"):
            pass

    outer()
    got = {name: facts(span) for name, span in recorded(sink).items()}
    who = {"spanledger.feature": "search", "spanledger.tags": ["beta"]}
    assert got["outer"] == {**who, "gen_ai.request.model": "m", "spanledger.input": "{}"}
    assert got["inner"] == {**who, "user.id": "u2", "other": 1}
    assert got["deep"] == {**who, "user.id": "u2"}


def test_a_span_has_as_many_attributes_as_opentelemetry_allows_and_counts_the_rest(sink: Sink) -> None:
    with spanledger.span("s"):
        spanledger.update(metadata={str(number): number for number in range(130)}, user_id="u")
    got = recorded(sink)["s"]
    assert (len(got.attributes), got.dropped_attributes_count) == (128, 3)


def test_something_a_span_cannot_be_told_is_an_error_that_names_what_can(sink: Sink) -> None:
    with spanledger.span("s"), pytest.raises(TypeError, match=r"'usr_id' is nothing .* user_id"):
        spanledger.update(usr_id="u")  # pyright: ignore[reportCallIssue]


@pytest.mark.anyio
async def test_an_object_that_is_called_like_a_function_is_recorded_like_one(sink: Sink) -> None:
    class Answer:
        async def __call__(self, question: str) -> str:
            await asyncio.sleep(0)
            return question.upper()

    assert await spanledger.observe(Answer())("why") == "WHY"
    got = facts(recorded(sink)["Answer"])
    assert got["spanledger.output"] == '"WHY"'


def test_a_class_is_refused(sink: Sink) -> None:
    with pytest.raises(TypeError, match="not the class Shop"):

        @spanledger.observe
        class Shop:
            pass


def test_twice_observed_is_recorded_once_but_a_wrapper_around_it_may_be_observed_too(sink: Sink) -> None:
    @spanledger.observe
    @spanledger.observe
    def work() -> int:
        return 1

    @spanledger.observe(name="retried")
    @functools.wraps(work)
    def again() -> int:
        return work() + work()

    again()
    assert spanledger.flush()
    assert sorted(span.name.rpartition(".")[2] for span in sink.spans) == ["retried", "work", "work"]


def test_a_span_that_is_over_takes_nothing_more(sink: Sink) -> None:
    with spanledger.span("s") as span:
        pass
    span.update(user_id="late", feature="late")
    span.score("late", 1)
    got = recorded(sink)["s"]
    assert (facts(got), len(got.events)) == ({}, 0)


def test_a_retrieval_names_its_documents(sink: Sink) -> None:
    documents = [{"id": "d1", "content": "text", "score": 0.5, "source": "wiki", "updated_at": "2026-01-01"}]
    with spanledger.span("retrieve", operation="retrieval") as span:
        span.update(documents=documents)
    got = facts(recorded(sink)["retrieve"])
    assert json.loads(got["gen_ai.retrieval.documents"]) == documents
    assert got["gen_ai.operation.name"] == "retrieval"


def test_a_score_rides_on_its_span(sink: Sink) -> None:
    with spanledger.span("answer"):
        spanledger.score("helpful", 0.75, comment="good")
        spanledger.score("tone", "friendly")
    events = recorded(sink)["answer"].events
    assert [event.name for event in events] == ["gen_ai.evaluation.result"] * 2
    first = {pair.key: pair.value for pair in events[0].attributes}
    assert first["gen_ai.evaluation.score.value"].double_value == 0.75
    assert first["gen_ai.evaluation.explanation"].string_value == "good"
    assert events[1].attributes[1].value.string_value == "friendly"


def test_a_trace_that_is_over_is_scored_by_its_id(sink: Sink) -> None:
    with spanledger.span("answer") as span:
        pass
    assert spanledger.flush()
    sink.statuses = [503]  # tried again
    spanledger.score("helpful", True, "thumbs up", trace_id=span.trace_id, span_id=span.span_id)
    spanledger.score("tone", "friendly", trace_id=span.trace_id)
    assert spanledger.flush(20)
    first, again, second = (json.loads(body) for body in sink.posted["/api/scores"])
    about = {"trace_id": span.trace_id, "name": "helpful", "source": "sdk"}
    assert first == again == {**about, "span_id": span.span_id, "value": 1.0, "explanation": "thumbs up"}
    assert (second["span_id"], second["label"]) == ("", "friendly")
    with pytest.raises(ValueError, match="trace_id='no id' is no id of 32"):
        spanledger.score("helpful", 1, trace_id="no id")


def test_outside_of_a_span_update_and_score_do_nothing(sink: Sink) -> None:
    spanledger.update(user_id="u")
    spanledger.score("s", 1)
    assert spanledger.traceparent() == ""
    assert recorded(sink) == {}


def test_what_json_has_no_form_for_is_recorded_as_text(sink: Sink) -> None:
    circle: list[Any] = [1]
    circle.append(circle)

    @spanledger.observe
    def work(*values: Any) -> Any:
        return {1: "one", (2, 3): "pair"}

    work(b"bytes", {1, 2}, object(), 2**80, "a\ud800", circle, int)
    got = facts(recorded(sink)["work"])
    assert json.loads(got["spanledger.input"])["*values"][:5] == [
        "<5 bytes>", [1, 2], "<builtins.object>", str(2**80), "a?",
    ]  # fmt: skip
    assert json.loads(got["spanledger.output"]) == {"1": "one", "(2, 3)": "pair"}


def test_off_means_off(sink: Sink) -> None:
    spanledger.init(enabled=False)

    @spanledger.observe
    def work() -> str:
        with spanledger.span("inner") as span:
            span.update(user_id="u")
            span.score("s", 1)
        return spanledger.traceparent()

    assert work() == ""
    assert spanledger.counters().recorded == 0


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(spanledger.SettingsError, match="capture='all' is not allowed; use one of: none"):
        spanledger.init(capture="all")  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("SPANLEDGER_SAMPLE_RATE", "2")
    with pytest.raises(spanledger.SettingsError, match="SPANLEDGER_SAMPLE_RATE='2'"):
        spanledger.init()
