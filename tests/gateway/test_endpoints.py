"""Every endpoint through plain HTTP and the official clients."""

from __future__ import annotations

import json
from decimal import Decimal

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from spanledger import semconv
from spanledger.serving.snapshot import Price
from spanledger.testing.model_server import ModelServer
from tests.gateway.conftest import KEY, MODEL, RunningGateway

pytestmark = pytest.mark.broker


def test_a_chat_completion_passes_through_unchanged(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary, key_env="UPSTREAM_KEY")
    answer = gateway.chat()
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "Paris."
    assert answer.headers["x-spanledger-upstream"] == "up0"
    assert answer.headers["x-spanledger-cache"] == "off"
    assert primary.calls[0].headers["authorization"] == "Bearer sk-upstream-secret"
    assert KEY not in str(primary.calls[0].headers)


def test_a_request_is_one_span_with_one_span_for_its_attempt(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": parent, "x-spanledger-user": "u1", "x-spanledger-tags": "a, b"}
    answer = gateway.chat(headers=headers, temperature=0.5)
    request, attempt = gateway.spans(answer, 2)
    assert request.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id == "b7ad6b7169203331"
    assert attempt.parent_span_id == request.span_id
    assert (request[semconv.BILLABLE], attempt[semconv.BILLABLE]) == (False, True)
    assert attempt[semconv.PROJECT] == "shop"
    assert attempt[semconv.TEAM] == "search"
    assert attempt[semconv.USER_ID] == "u1"
    assert attempt[semconv.TAGS] == ["a", "b"]
    assert attempt[semconv.TEMPERATURE] == 0.5
    usage = answer.json["usage"]
    assert attempt[semconv.INPUT_TOKENS] == usage["prompt_tokens"]
    assert attempt[semconv.OUTPUT_TOKENS] == usage["completion_tokens"]
    assert json.loads(attempt[semconv.OUTPUT_MESSAGES])[0]["parts"][0]["content"] == "Paris."
    assert json.loads(attempt[semconv.INPUT_MESSAGES])[0]["content"] == "What is the capital of France?"
    assert semconv.INPUT_MESSAGES not in request.attributes


def test_the_cost_header_is_the_price_of_the_usage(gateway: RunningGateway, primary: ModelServer) -> None:
    dollar = Decimal(1_000_000)  # a token
    price = Price(name="p", version=1, provider="openai", model=MODEL, input=dollar, output=2 * dollar)
    gateway.route(primary, prices=(price,))
    answer = gateway.chat()
    usage = answer.json["usage"]
    expected = usage["prompt_tokens"] + 2 * usage["completion_tokens"]
    assert float(answer.headers["x-spanledger-cost"]) == expected


def test_the_openai_client_chats_and_streams(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
        whole = client.chat.completions.create(model=MODEL, messages=messages)
        assert whole.choices[0].message.content == "Paris."
        chunks = list(client.chat.completions.create(model=MODEL, messages=messages, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Paris."
    assert all(chunk.usage is None for chunk in chunks)


def test_embeddings_pass_through_the_openai_client(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        found = client.embeddings.create(model=MODEL, input=["one", "two"])
    assert len(found.data) == 2


def test_models_are_the_project_s_routes(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve(MODEL).id == MODEL
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("nope")
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY) as client:
        assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat/completions", b"{", 400, "invalid_request"),
        ("/v1/chat/completions", [], 400, "invalid_request"),
        ("/v1/chat/completions", {"messages": []}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": MODEL, "messages": "x"}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": MODEL, "messages": [], "n": 0}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": MODEL, "messages": [], "stream": "yes"}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": "nope", "messages": []}, 404, "model_not_found"),
        ("/v1/messages", {"model": "nope", "messages": []}, 404, "model_not_found"),
        ("/v1/nope", {}, 404, "not_found"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    gateway: RunningGateway, primary: ModelServer, path: str, body: object, status: int, code: str
) -> None:
    gateway.route(primary)
    answer = gateway.post(path, body)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert primary.calls == []


def test_a_wrong_key_is_refused_in_the_caller_s_own_dialect(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary)
    with (
        openai.OpenAI(base_url=gateway.base_url, api_key="sl_wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.embeddings.create(model=MODEL, input="x")
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="sl_wrong") as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.messages.create(model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert gateway.get("/v1/chat/completions").status == 405
    assert gateway.post("/v1/chat/completions", {}, {"authorization": ""}).status == 401
