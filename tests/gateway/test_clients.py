"""The official clients, sync and async, on every endpoint, in front of either provider's API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import anyio
import openai
import pytest

from spanledger import semconv
from spanledger.testing.model_server import ModelServer
from spanledger.testing.model_server.behaviour import Answer, Call
from tests.gateway.conftest import KEY, MODEL, RunningGateway

pytestmark = pytest.mark.broker

Protocol = Literal["openai", "anthropic"]

QUESTION: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
]
RESPONSE_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
MESSAGE_TOOLS: Any = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]


@pytest.fixture(params=["openai", "anthropic"])
def upstream(request: pytest.FixtureRequest, gateway: RunningGateway, primary: ModelServer) -> ModelServer:
    protocol: Protocol = request.param
    gateway.route(primary, protocol=protocol)
    return primary


@pytest.fixture
def oai(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def ant(gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        yield client


def test_chat_completions(oai: openai.OpenAI, upstream: ModelServer) -> None:
    whole = oai.chat.completions.create(model=MODEL, messages=QUESTION)
    assert whole.choices[0].message.content == "Paris."
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 2
    with oai.chat.completions.stream(
        model=MODEL, messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "Paris."
    assert final.usage is not None
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )


def test_chat_completions_with_tools(oai: openai.OpenAI, upstream: ModelServer) -> None:
    upstream.set(call_tool="weather")
    whole = oai.chat.completions.create(model=MODEL, messages=QUESTION, tools=CHAT_TOOLS)
    assert whole.choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "text"}
    with oai.chat.completions.stream(model=MODEL, messages=QUESTION, tools=CHAT_TOOLS) as stream:
        final = stream.get_final_completion().choices[0]
    (streamed,) = final.message.tool_calls or []
    assert json.loads(streamed.function.arguments) == {"city": "text"}
    assert final.finish_reason == "tool_calls"
    upstream.set(call_tool="", answer="It is warm.")
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    history: Any = [*QUESTION, whole.choices[0].message.model_dump(exclude_none=True), result]
    answered = oai.chat.completions.create(model=MODEL, messages=history, tools=CHAT_TOOLS)
    assert answered.choices[0].message.content == "It is warm."
    assert "21 degrees" in json.dumps(upstream.calls[-1].body)


def test_structured_output(oai: openai.OpenAI, upstream: ModelServer) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA, "strict": True}}
    if "messages" not in str(upstream.calls):
        upstream.set(answer='{"city": "Rome"}')
    answer = oai.chat.completions.create(model=MODEL, messages=QUESTION, response_format=wanted)
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Rome"}
    assert '"schema"' in json.dumps(upstream.calls[-1].body)


def texts(message: anthropic.types.Message) -> list[str]:
    return [block.text for block in message.content if block.type == "text"]


def test_messages(ant: anthropic.Anthropic, upstream: ModelServer) -> None:
    whole = ant.messages.create(model=MODEL, max_tokens=100, messages=QUESTION, system="Be brief.")
    assert texts(whole) == ["Paris."]
    assert (whole.stop_reason, whole.usage.output_tokens) == ("end_turn", 2)
    with ant.messages.stream(model=MODEL, max_tokens=100, messages=QUESTION, system="Be brief.") as stream:
        assert "".join(stream.text_stream) == "Paris."
        final = stream.get_final_message()
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == "end_turn"
    assert "Be brief." in json.dumps(upstream.calls[-1].body)


def test_messages_with_tools(ant: anthropic.Anthropic, upstream: ModelServer) -> None:
    upstream.set(call_tool="weather")
    whole = ant.messages.create(model=MODEL, max_tokens=100, tools=MESSAGE_TOOLS, messages=QUESTION)
    assert whole.stop_reason == "tool_use"
    (block,) = (b for b in whole.content if b.type == "tool_use")
    assert block.input == {"city": "text"}
    with ant.messages.stream(model=MODEL, max_tokens=100, tools=MESSAGE_TOOLS, messages=QUESTION) as stream:
        final = stream.get_final_message()
    (streamed,) = (b for b in final.content if b.type == "tool_use")
    assert streamed.input == {"city": "text"}
    upstream.set(call_tool="", answer="It is warm.")
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "21 degrees"}
    content = [b.model_dump(exclude_none=True) for b in whole.content]
    history: Any = [
        *QUESTION,
        {"role": "assistant", "content": content},
        {"role": "user", "content": [result]},
    ]
    answered = ant.messages.create(model=MODEL, max_tokens=100, tools=MESSAGE_TOOLS, messages=history)
    assert texts(answered) == ["It is warm."]
    assert "21 degrees" in json.dumps(upstream.calls[-1].body)


def test_images_reach_either_provider(oai: openai.OpenAI, upstream: ModelServer) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    oai.chat.completions.create(model=MODEL, messages=content)
    assert "iVBORw0KGgo=" in json.dumps(upstream.calls[-1].body)


def test_a_stream_cut_after_content_raises_in_either_client(
    oai: openai.OpenAI, ant: anthropic.Anthropic, upstream: ModelServer
) -> None:
    upstream.set(answer="one two three four five", cut_after_chunks=2)
    with pytest.raises(openai.APIError):
        list(oai.chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
    with pytest.raises(anthropic.APIError):
        list(ant.messages.create(model=MODEL, max_tokens=9, messages=QUESTION, stream=True))


def test_an_upstream_s_refusal_is_told_in_the_caller_s_dialect(
    oai: openai.OpenAI, ant: anthropic.Anthropic, upstream: ModelServer
) -> None:
    upstream.set(error_status=400)
    with pytest.raises(openai.BadRequestError) as chat:
        oai.chat.completions.create(model=MODEL, messages=QUESTION)
    assert chat.value.response.json()["error"]["message"]
    with pytest.raises(anthropic.BadRequestError) as message:
        ant.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    assert message.value.response.json()["type"] == "error"


def test_the_ledger_holds_the_usage_of_a_translated_call(
    gateway: RunningGateway, upstream: ModelServer
) -> None:
    upstream.set(cached_tokens=4)
    answer = gateway.chat(stream=True)
    attempt = gateway.spans(answer, 2)[1]
    assert attempt[semconv.CACHE_READ_TOKENS] == 4
    assert attempt[semconv.OUTPUT_TOKENS] == 2
    assert json.loads(attempt[semconv.OUTPUT_MESSAGES])[0]["parts"] == [{"type": "text", "content": "Paris."}]


def test_responses(oai: openai.OpenAI, upstream: ModelServer) -> None:
    whole = oai.responses.create(model=MODEL, input="Hi", instructions="Be brief.", max_output_tokens=50)
    assert (whole.output_text, whole.status) == ("Paris.", "completed")
    assert "Be brief." in json.dumps(upstream.calls[-1].body)
    with oai.responses.stream(model=MODEL, input="Hi", instructions="Be brief.") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "Paris."
    assert final.usage is not None
    assert whole.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    upstream.set(answer="one two three four five", cut_after_chunks=2)
    with pytest.raises(openai.APIError):
        list(oai.responses.create(model=MODEL, input="Hi", stream=True))


def test_responses_with_tools(oai: openai.OpenAI, upstream: ModelServer) -> None:
    upstream.set(call_tool="weather")
    called = oai.responses.create(model=MODEL, input="Hi", tools=RESPONSE_TOOLS)
    (call,) = called.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "text"}
    with oai.responses.stream(model=MODEL, input="Hi", tools=RESPONSE_TOOLS) as stream:
        (streamed,) = stream.get_final_response().output
    assert streamed.type == "function_call"
    assert (streamed.name, json.loads(streamed.arguments)) == ("weather", {"city": "text"})
    upstream.set(call_tool="", answer="It is warm.")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
    history: Any = [{"role": "user", "content": "Hi"}, call.model_dump(exclude_none=True), result]
    answered = oai.responses.create(model=MODEL, input=history, tools=RESPONSE_TOOLS)
    assert answered.output_text == "It is warm."
    assert "21 degrees" in json.dumps(upstream.calls[-1].body)


def thoughtful(call: Call) -> Answer:
    return Answer(text='{"city": "Rome"}', reasoning="Italy's capital.")


def test_responses_with_images_schemas_and_reasoning(oai: openai.OpenAI, upstream: ModelServer) -> None:
    upstream.set(answer=thoughtful)
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    asked: Any = [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, image]}]
    wanted: Any = {"format": {"type": "json_schema", "name": "c", "schema": SCHEMA, "strict": True}}
    whole = oai.responses.create(model=MODEL, input=asked, text=wanted, reasoning={"effort": "low"})
    assert json.loads(whole.output_text) == {"city": "Rome"}
    sent = json.dumps(upstream.calls[-1].body)
    assert "iVBORw0KGgo=" in sent
    assert '"city"' in sent
    with oai.responses.stream(model=MODEL, input=asked) as stream:
        final = stream.get_final_response()
    kinds = [item.type for item in final.output]
    assert kinds == [item.type for item in whole.output]
    assert kinds[-1] == "message"


def test_a_response_that_is_cut_short_says_why(oai: openai.OpenAI, upstream: ModelServer) -> None:
    upstream.set(answer="one two three four five six")
    short = oai.responses.create(model=MODEL, input="Hi", max_output_tokens=2)
    assert short.status == "incomplete"
    assert short.incomplete_details is not None
    assert short.incomplete_details.reason == "max_output_tokens"


def test_what_an_upstream_cannot_serve_passes_it_by(
    gateway: RunningGateway, oai: openai.OpenAI, primary: ModelServer, backup: ModelServer
) -> None:
    gateway.route(primary, backup, protocol="anthropic")
    upstreams = dict(gateway.project.upstreams)
    upstreams["up1"] = type(upstreams["up1"])(base_url=backup.base_url, allow_private=True)
    gateway.change(upstreams=upstreams)
    earlier = oai.responses.create(model=MODEL, input="Hi", previous_response_id="resp_1")
    assert "backup" in earlier.output_text
    search: Any = [{"type": "web_search"}]
    assert "backup" in oai.responses.create(model=MODEL, input="Hi", tools=search).output_text
    logprobs = oai.chat.completions.create(model=MODEL, messages=QUESTION, logprobs=True)
    assert "backup" in (logprobs.choices[0].message.content or "")
    assert len(oai.embeddings.create(model=MODEL, input="Hi").data) == 1
    assert len(oai.chat.completions.create(model=MODEL, messages=QUESTION, n=2).choices) == 2
    assert primary.calls == []


def test_the_async_clients(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)

    async def run() -> None:
        async with (
            openai.AsyncOpenAI(base_url=gateway.base_url, api_key=KEY) as oai,
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY) as ant,
        ):
            whole = await oai.chat.completions.create(model=MODEL, messages=QUESTION)
            assert whole.choices[0].message.content == "Paris."
            stream = await oai.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
            assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "Paris."
            assert (await oai.responses.create(model=MODEL, input="Hi")).output_text == "Paris."
            async with oai.responses.stream(model=MODEL, input="Hi") as events:
                assert (await events.get_final_response()).output_text == "Paris."
            assert len((await oai.embeddings.create(model=MODEL, input="Hi")).data) == 1
            message = await ant.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
            assert message.stop_reason == "end_turn"
            async with ant.messages.stream(model=MODEL, max_tokens=9, messages=QUESTION) as texts:
                assert "".join([piece async for piece in texts.text_stream]) == "Paris."
            assert [model.id async for model in oai.models.list()] == [MODEL]

    anyio.run(run)
