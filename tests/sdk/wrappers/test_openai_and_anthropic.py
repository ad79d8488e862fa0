"""Wrapped clients behave as the originals; what is recorded is what they returned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import BaseModel, ValidationError

import spanledger
from spanledger.testing.model_server import Answer, Call, ModelServer, ToolCall
from spanledger.wrappers.model_call import endpoint_of
from tests.sdk.sink import Sink, facts

ASK: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
TEXT = "Paris, on the Seine."


@pytest.fixture(autouse=True)
def configured(sink: Sink) -> Iterator[None]:
    spanledger.init(endpoint=sink.url, key="k", mode="memory")
    yield
    spanledger.shutdown(0)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(answer=TEXT) as running:
        yield running


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=10) as made:
        yield spanledger.wrap(made)


def only(sink: Sink) -> Span:
    assert spanledger.flush()
    assert len(sink.spans) == 1
    return sink.spans[0]


def answer_text(span: Span) -> str:
    (message,) = json.loads(facts(span)["gen_ai.output.messages"])
    return "".join(part["content"] for part in message["parts"] if part["type"] == "text")


def test_a_chat_is_recorded_with_what_the_client_returned(client: openai.OpenAI, sink: Sink) -> None:
    answer = client.chat.completions.create(
        model="m", messages=ASK, temperature=0.5, max_tokens=50, seed=3, user="u1"
    )
    assert answer.usage is not None
    span = only(sink)
    got = facts(span)
    assert (span.name, span.kind) == ("chat m", 3)
    assert json.loads(got["gen_ai.input.messages"]) == ASK
    assert answer_text(span) == answer.choices[0].message.content == TEXT
    assert got["gen_ai.response.id"] == answer.id
    assert got["gen_ai.response.finish_reasons"] == ["stop"]
    assert got["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert got["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert (got["gen_ai.request.temperature"], got["gen_ai.request.max_tokens"]) == (0.5, 50)
    assert (got["gen_ai.request.seed"], got["user.id"]) == (3, "u1")
    assert "spanledger.billable" not in got


def test_a_stream_passes_through_and_is_recorded_whole(client: openai.OpenAI, sink: Sink) -> None:
    stream = client.chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    assert isinstance(stream, openai.Stream)
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    span = only(sink)
    got = facts(span)
    assert answer_text(span) == text == TEXT
    usage = chunks[-1].usage
    assert usage is not None
    assert got["gen_ai.usage.output_tokens"] == usage.completion_tokens
    assert 0 < got["gen_ai.response.time_to_first_chunk"] < 5
    assert got["spanledger.tpot_ns"] >= 0
    assert "spanledger.status" not in got


def test_a_stream_left_early_keeps_what_was_received(client: openai.OpenAI, sink: Sink) -> None:
    received = ""
    with client.chat.completions.create(model="m", messages=ASK, stream=True) as stream:
        for chunk in stream:
            received += chunk.choices[0].delta.content or ""
            if received:
                break
    span = only(sink)
    assert facts(span)["spanledger.status"] == "cancelled"
    assert TEXT.startswith(answer_text(span))
    assert answer_text(span).startswith(received)


def test_usage_that_no_stream_told_is_estimated_and_says_so(client: openai.OpenAI, sink: Sink) -> None:
    list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    got = facts(only(sink))
    assert got["spanledger.usage.estimated"] is True
    assert got["gen_ai.usage.output_tokens"] == len(TEXT) // 4
    assert 5 < got["gen_ai.usage.input_tokens"] < 20


def test_where_it_is_known_to_be_told_usage_is_asked_for_and_the_caller_sees_its_own_stream(
    client: openai.OpenAI, server: ModelServer, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    monkeypatch.setattr("spanledger.wrappers.stainless.USAGE_HOSTS", {"127.0.0.1"})
    after = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    assert [chunk.choices for chunk in after] == [chunk.choices for chunk in before]
    assert server.calls[1].body["stream_options"] == {"include_usage": True}
    assert spanledger.flush()
    got = facts(sink.spans[1])
    assert "spanledger.usage.estimated" not in got
    assert got["gen_ai.usage.output_tokens"] > 0


def test_an_error_is_the_clients_own_and_is_recorded(
    client: openai.OpenAI, server: ModelServer, sink: Sink
) -> None:
    server.set(error_status=429)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="m", messages=ASK)
    span = only(sink)
    assert span.status.code == 2
    assert facts(span)["error.type"] == "openai.RateLimitError"


@pytest.mark.parametrize(("how", "status"), [("abrupt", ""), ("clean", "cut"), ("error", "")])
def test_a_stream_cut_by_the_provider_is_an_error_with_what_was_received(
    client: openai.OpenAI, server: ModelServer, sink: Sink, how: str, status: str
) -> None:
    server.set(cut_after_chunks=3, cut=how)
    received = ""
    try:
        for chunk in client.chat.completions.create(model="m", messages=ASK, stream=True):
            received += chunk.choices[0].delta.content or ""
    except (openai.APIError, httpx2.HTTPError):
        assert how != "clean"
    span = only(sink)
    assert span.status.code == 2
    assert answer_text(span) == received != ""
    assert facts(span).get("spanledger.status", "") == status


def test_tools_are_recorded(client: openai.OpenAI, server: ModelServer, sink: Sink) -> None:
    call_weather = ToolCall(name="weather", arguments={"city": "Paris"})

    def answer(call: Call) -> Answer:
        return Answer(tool_calls=(call_weather,))

    server.set(answer=answer)
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    stream = client.chat.completions.create(model="m", messages=ASK, tools=tools, stream=True)
    list(stream)
    got = facts(only(sink))
    (message,) = json.loads(got["gen_ai.output.messages"])
    (call,) = message["parts"]
    assert (call["type"], call["name"]) == ("tool_call", "weather")
    assert json.loads(call["arguments"]) == {"city": "Paris"}
    assert json.loads(got["gen_ai.tool.definitions"]) == tools


def test_structured_output_is_parsed_and_recorded(
    client: openai.OpenAI, server: ModelServer, sink: Sink
) -> None:
    class City(BaseModel):
        name: str

    server.set(answer='{"name": "Paris"}')
    parsed = client.chat.completions.parse(model="m", messages=ASK, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Paris")
    server.set(answer="no JSON")
    with pytest.raises(ValidationError):
        client.chat.completions.parse(model="m", messages=ASK, response_format=City)
    assert spanledger.flush()
    assert [answer_text(span) for span in sink.spans] == ['{"name": "Paris"}', "no JSON"]
    assert [span.status.code for span in sink.spans] == [0, 2]
    assert all(facts(span)["gen_ai.usage.output_tokens"] > 0 for span in sink.spans)


def test_responses_whole_and_streamed(client: openai.OpenAI, sink: Sink) -> None:
    whole = client.responses.create(model="m", input="hello", instructions="be brief")
    with client.responses.stream(model="m", input="hello") as stream:
        streamed = stream.get_final_response()
    assert spanledger.flush()
    assert [answer_text(span) for span in sink.spans] == [whole.output_text, streamed.output_text]
    got = facts(sink.spans[0])
    assert json.loads(got["gen_ai.input.messages"]) == [{"role": "user", "content": "hello"}]
    assert json.loads(got["gen_ai.system_instructions"]) == "be brief"
    assert whole.usage is not None
    assert got["gen_ai.usage.output_tokens"] == whole.usage.output_tokens


def test_embeddings_record_usage_and_no_vectors(client: openai.OpenAI, sink: Sink) -> None:
    answer = client.embeddings.create(model="e", input=["one", "two"])
    got = facts(only(sink))
    assert got["gen_ai.operation.name"] == "embeddings"
    assert got["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert json.loads(got["spanledger.input"]) == ["one", "two"]
    assert "gen_ai.output.messages" not in got


def test_options_raw_and_streaming_responses_are_recorded(client: openai.OpenAI, sink: Sink) -> None:
    changed = client.with_options(timeout=5)
    assert type(changed) is openai.OpenAI
    assert changed.chat.completions.create(model="m", messages=ASK).choices[0].message.content == TEXT
    raw = client.chat.completions.with_raw_response.create(model="m", messages=ASK)
    parsed: Any = raw.parse()
    assert (raw.status_code, parsed.choices[0].message.content) == (200, TEXT)
    with client.chat.completions.with_streaming_response.create(model="m", messages=ASK) as streaming:
        assert b"Paris" in b"".join(streaming.iter_bytes())
    assert spanledger.flush()
    assert [answer_text(span) for span in sink.spans] == [TEXT] * 3


def test_the_original_client_is_left_alone_and_wrapping_twice_is_wrapping_once(
    server: ModelServer, sink: Sink
) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="any") as original:
        original.chat.completions.create(model="m", messages=ASK)
        twice = spanledger.wrap(spanledger.wrap(original))
        assert type(twice) is openai.OpenAI
        original.chat.completions.create(model="m", messages=ASK)
        twice.chat.completions.create(model="m", messages=ASK)
    assert len(only(sink).attributes) > 5


def test_calls_that_ask_no_model_are_not_recorded(client: openai.OpenAI, sink: Sink) -> None:
    assert client.models.list().data
    assert spanledger.flush()
    assert sink.spans == []


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/chat/completions", "chat"),
        ("/deployments/gpt/chat/completions?api-version=1", "chat"),
        ("/completions", "text_completion"),
        ("/v1/messages?beta=true", "chat"),
        ("/responses", "chat"),
        ("/embeddings", "embeddings"),
        ("/threads/t1/messages", None),
        ("/v1/messages/count_tokens", None),
        ("/responses/r1/cancel", None),
        ("/files", None),
    ],
)
def test_paths_that_ask_a_model_are_told_from_others(path: str, operation: str | None) -> None:
    found = endpoint_of(path)
    assert (found[0] if found else None) == operation


def test_the_call_nests_and_names_its_span_to_the_provider(
    client: openai.OpenAI, server: ModelServer, sink: Sink
) -> None:
    with spanledger.span("outer"):
        spanledger.update(user_id="u7")
        client.chat.completions.create(model="m", messages=ASK)
        client.chat.completions.create(model="m", messages=ASK, extra_headers={"Traceparent": "mine"})
    assert spanledger.flush()
    first, _, outer = sink.spans
    assert first.parent_span_id == outer.span_id
    assert facts(first)["user.id"] == "u7"
    sent = [call.headers.get("traceparent") for call in server.calls]
    assert sent == [f"00-{first.trace_id.hex()}-{first.span_id.hex()}-01", "mine"]


@pytest.mark.anyio
async def test_the_async_client_is_recorded_alike(server: ModelServer, sink: Sink) -> None:
    plain = openai.AsyncOpenAI(base_url=server.base_url, api_key="any")
    async with spanledger.wrap(plain) as client:
        whole = await client.chat.completions.create(model="m", messages=ASK)
        stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        embedded = await client.with_options(timeout=9).embeddings.create(model="e", input="one")
    assert (whole.choices[0].message.content, text, len(embedded.data)) == (TEXT, TEXT, 1)
    assert spanledger.flush()
    assert [span.name for span in sink.spans] == ["chat m", "chat m", "embeddings e"]
    assert [answer_text(span) for span in sink.spans[:2]] == [TEXT, TEXT]


def test_anthropic_is_recorded_once_although_it_traces_itself(server: ModelServer, sink: Sink) -> None:
    with spanledger.wrap(anthropic.Anthropic(base_url=server.url, api_key="any")) as client:
        answer = client.messages.create(model="c", max_tokens=20, messages=ASK, system="be brief")
        with client.messages.stream(model="c", max_tokens=20, messages=ASK) as stream:
            streamed = stream.get_final_text()
    assert spanledger.flush()
    assert [span.name for span in sink.spans] == ["chat c", "chat c"]
    assert [answer_text(span) for span in sink.spans] == [TEXT, streamed]
    got = facts(sink.spans[0])
    assert got["gen_ai.usage.output_tokens"] == answer.usage.output_tokens
    assert got["gen_ai.provider.name"] == "anthropic"
    assert "gen_ai.request.temperature" not in got  # what was not given is not recorded
    assert json.loads(got["gen_ai.system_instructions"]) == "be brief"


def test_an_anthropic_client_that_is_not_wrapped_records_its_own_span(
    server: ModelServer, sink: Sink
) -> None:
    with anthropic.Anthropic(base_url=server.url, api_key="any") as client:
        client.messages.create(model="c", max_tokens=20, messages=ASK)
    got = facts(only(sink))
    assert got["gen_ai.operation.name"] == "chat"
    assert got["gen_ai.usage.output_tokens"] > 0


@pytest.mark.anyio
async def test_async_anthropic_is_recorded_alike(server: ModelServer, sink: Sink) -> None:
    async with spanledger.wrap(anthropic.AsyncAnthropic(base_url=server.url, api_key="any")) as client:
        await client.messages.create(model="c", max_tokens=20, messages=ASK)
        async with client.messages.stream(model="c", max_tokens=20, messages=ASK) as stream:
            text = "".join([piece async for piece in stream.text_stream])
    assert spanledger.flush()
    assert [answer_text(span) for span in sink.spans] == [TEXT, text]


def test_a_call_through_the_gateway_is_not_billable(sink: Sink) -> None:
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [],
    }

    def gateway(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=body, headers={"X-Spanledger-Trace-Id": "0" * 32})

    http_client = httpx2.Client(transport=httpx2.MockTransport(gateway))
    with openai.OpenAI(base_url="http://gateway", api_key="any", http_client=http_client) as plain:
        spanledger.wrap(plain).chat.completions.create(model="m", messages=ASK)
    assert facts(only(sink))["spanledger.billable"] is False


def test_capture_metadata_keeps_prompts_and_answers_at_home(client: openai.OpenAI, sink: Sink) -> None:
    spanledger.init(endpoint=sink.url, mode="memory", capture="metadata")
    client.chat.completions.create(model="m", messages=ASK, user="u1")
    list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    assert spanledger.flush()
    body = b"".join(sink.bodies)
    assert b"Paris" not in body
    assert b"France" not in body
    assert facts(sink.spans[0])["gen_ai.usage.output_tokens"] > 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=400), stream=st.booleans())
def test_what_is_recorded_equals_what_the_client_returned(
    client: openai.OpenAI, server: ModelServer, sink: Sink, text: str, stream: bool
) -> None:
    server.set(answer=text)
    before = len(sink.spans)
    if stream:
        chunks = client.chat.completions.create(model="m", messages=ASK, stream=True)
        got = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    else:
        got = client.chat.completions.create(model="m", messages=ASK).choices[0].message.content or ""
    assert spanledger.flush()
    assert answer_text(sink.spans[before]) == got


def test_a_client_of_another_kind_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"wrap\(\) knows clients of openai.*not builtins.dict"):
        spanledger.wrap(dict[str, str]())
