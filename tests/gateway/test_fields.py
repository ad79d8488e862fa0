"""Fields that a call must not lose on its way: choices, vectors, thinking, cached tokens, models; and those that it may."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from spanledger.testing.model_server import ModelServer
from spanledger.testing.model_server.behaviour import Answer, Call
from tests.gateway.conftest import KEY, MODEL, RunningGateway

pytestmark = pytest.mark.broker

QUESTION: Any = [{"role": "user", "content": "What is the capital of Italy?"}]


@pytest.fixture
def oai(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def ant(gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        yield client


def thoughtful(call: Call) -> Answer:
    return Answer(text="Rome.", reasoning="It is the seat of government.")


def test_several_choices_and_unknown_fields_pass_untouched(
    gateway: RunningGateway, oai: openai.OpenAI, primary: ModelServer
) -> None:
    gateway.route(primary)
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "logit_bias": {"50256": -100}}
    answer = oai.chat.completions.create(
        model=MODEL, messages=QUESTION, n=3, logprobs=True, top_logprobs=2, seed=7, extra_body=extra
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    sent = primary.calls[-1].body
    assert {name: sent[name] for name in extra} == extra
    assert (sent["n"], sent["logprobs"], sent["top_logprobs"], sent["seed"]) == (3, True, 2, 7)
    streamed = oai.chat.completions.create(model=MODEL, messages=QUESTION, n=2, stream=True)
    assert {choice.index for chunk in streamed for choice in chunk.choices} == {0, 1}


def test_vectors_come_as_numbers_or_as_base64(
    gateway: RunningGateway, oai: openai.OpenAI, primary: ModelServer
) -> None:
    gateway.route(primary)
    texts = ["one", "two", "three"]
    plain = oai.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    packed = oai.embeddings.create(model=MODEL, input=texts)  # the client asks for base64 and unpacks it
    assert [item.index for item in plain.data] == [0, 1, 2]
    assert [item.embedding for item in packed.data] == [
        pytest.approx(item.embedding, abs=1e-6) for item in plain.data
    ]
    raw = gateway.post("/v1/embeddings", {"model": MODEL, "input": "one", "encoding_format": "base64"})
    assert isinstance(raw.json["data"][0]["embedding"], str)
    assert oai.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]]).usage.prompt_tokens > 0
    gateway.route(primary, protocol="anthropic")
    with pytest.raises(openai.APIStatusError, match="cannot serve embeddings"):
        oai.embeddings.create(model=MODEL, input="one")


def test_thinking_and_its_signature_pass_untouched_to_and_from_anthropic(
    gateway: RunningGateway, ant: anthropic.Anthropic, primary: ModelServer
) -> None:
    gateway.route(primary, protocol="anthropic")
    primary.set(answer=thoughtful)
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    body = {"model": MODEL, "max_tokens": 2000, "messages": QUESTION, "thinking": thinking}
    direct = urllib.request.Request(
        f"{primary.base_url.removesuffix('/v1')}/v1/messages", json.dumps(body).encode()
    )
    direct.add_header("content-type", "application/json")
    direct.add_header("anthropic-version", "2023-06-01")
    with urllib.request.urlopen(direct) as response:
        expected: Any = json.load(response)
    whole = ant.messages.create(model=MODEL, max_tokens=2000, messages=QUESTION, thinking=thinking)
    assert [block.model_dump(exclude_none=True) for block in whole.content] == [
        {name: value for name, value in block.items() if value is not None} for block in expected["content"]
    ]
    history: Any = [
        *QUESTION,
        {"role": "assistant", "content": [block.model_dump() for block in whole.content]},
        {"role": "user", "content": "Sure?"},
    ]
    ant.messages.create(model=MODEL, max_tokens=2000, messages=history, thinking=thinking)
    assert primary.calls[-1].body["messages"] == json.loads(json.dumps(history))
    with ant.messages.stream(model=MODEL, max_tokens=2000, messages=QUESTION, thinking=thinking) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == [block.type for block in whole.content]


def test_thinking_of_either_provider_is_told_in_the_caller_s_words(
    gateway: RunningGateway, oai: openai.OpenAI, ant: anthropic.Anthropic, primary: ModelServer
) -> None:
    primary.set(answer=thoughtful)
    gateway.route(primary, protocol="anthropic")
    message = oai.chat.completions.create(model=MODEL, messages=QUESTION).choices[0].message
    assert (message.content, message.model_dump()["reasoning_content"]) == (
        "Rome.",
        "It is the seat of government.",
    )
    gateway.route(primary)
    blocks = ant.messages.create(model=MODEL, max_tokens=50, messages=QUESTION).content
    assert [block.type for block in blocks] == ["thinking", "text"]


def test_cached_tokens_are_told_in_either_api(
    gateway: RunningGateway, oai: openai.OpenAI, ant: anthropic.Anthropic, primary: ModelServer
) -> None:
    primary.set(cached_tokens=4)
    for protocol in ("openai", "anthropic"):
        gateway.route(primary, protocol=protocol)
        usage = oai.chat.completions.create(model=MODEL, messages=QUESTION).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens == 4
        told = ant.messages.create(model=MODEL, max_tokens=50, messages=QUESTION).usage
        assert told.cache_read_input_tokens == 4
        assert told.input_tokens + 4 == usage.prompt_tokens
        response = oai.responses.create(model=MODEL, input="What is the capital of Italy?").usage
        assert response is not None
        assert response.input_tokens_details.cached_tokens == 4


def test_what_a_translation_leaves_out_is_counted(
    gateway: RunningGateway, oai: openai.OpenAI, primary: ModelServer
) -> None:
    gateway.route(primary, protocol="anthropic")
    oai.chat.completions.create(model=MODEL, messages=QUESTION, seed=1, presence_penalty=0.5)
    page = gateway.get("/metrics").body.decode()
    for name in ("seed", "presence_penalty"):
        assert f'spanledger_gateway_left_out_total{{endpoint="chat",field="{name}"}}' in page


def test_either_client_lists_and_reads_models(
    gateway: RunningGateway, oai: openai.OpenAI, ant: anthropic.Anthropic, primary: ModelServer
) -> None:
    gateway.route(primary)
    assert [model.id for model in oai.models.list()] == [MODEL]
    assert oai.models.retrieve(MODEL).object == "model"
    listed = list(ant.models.list(limit=1))
    assert [(model.id, model.type) for model in listed] == [(MODEL, "model")]
    assert ant.models.retrieve(MODEL).display_name == MODEL
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("nothing")
    with pytest.raises(anthropic.NotFoundError):
        ant.models.retrieve("nothing")
