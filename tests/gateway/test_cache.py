"""The exact cache: what is answered from it, what is kept, and what never crosses."""

from __future__ import annotations

import functools
import hashlib
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import openai
import openai.types.responses
import pytest
import redis
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionStreamOptionsParam

from spanledger import semconv
from spanledger.serving.snapshot import CacheRule, Price, SnapshotKey
from spanledger.testing.model_server import ModelServer
from tests.gateway.conftest import KEY, MODEL, Answered, RunningGateway
from tests.gateway.test_streams import events, text_of

pytestmark = pytest.mark.broker

Ask = Callable[..., Answered]


@pytest.fixture
def ask(gateway: RunningGateway) -> Ask:
    """Asks a question of the test's own: a gateway's memory outlives the emptied Redis."""
    return functools.partial(gateway.chat, f"Question {uuid.uuid4().hex}?")


PRICE = Price(name="p", version=1, provider="openai", model=MODEL, input=Decimal(1), output=Decimal(2))


def test_a_repeat_is_answered_from_the_cache_and_recorded_as_saved(
    gateway: RunningGateway, ask: Ask, primary: ModelServer
) -> None:
    gateway.route(primary, cache=CacheRule(), prices=(PRICE,))
    first, second = ask(), ask()
    assert (first.headers["x-spanledger-cache"], second.headers["x-spanledger-cache"]) == ("miss", "exact")
    assert first.body == second.body
    assert len(primary.calls) == 1
    assert second.headers["x-spanledger-cost"] == "0"
    (hit,) = gateway.spans(second, 1)
    assert hit[semconv.BILLABLE] is True
    assert hit[semconv.CACHE] == "exact"
    assert Decimal(hit[semconv.COST_SAVED]) == Decimal(first.headers["x-spanledger-cost"])
    assert hit[semconv.CACHE_AGE_NS] >= 0
    assert json.loads(hit[semconv.OUTPUT_MESSAGES])[0]["parts"][0]["content"] == "Paris."
    assert semconv.INPUT_TOKENS not in hit.attributes


@pytest.mark.parametrize("first_stream", [True, False])
def test_streams_and_whole_answers_share_an_entry(
    gateway: RunningGateway, ask: Ask, primary: ModelServer, first_stream: bool
) -> None:
    gateway.route(primary, cache=CacheRule())
    first = ask(stream=first_stream)
    second = ask(stream=not first_stream, stream_options=None)
    assert second.headers["x-spanledger-cache"] == "exact"
    if first_stream:
        assert second.json["choices"][0]["message"]["content"] == text_of(events(first.body))
        assert second.json["usage"]["completion_tokens"] == 2
    else:
        assert text_of(events(second.body)) == first.json["choices"][0]["message"]["content"]
        assert second.body.endswith(b"data: [DONE]\n\n")
        assert b"usage" not in second.body


def test_a_hit_streams_its_usage_to_the_openai_client(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary, cache=CacheRule())
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        question: list[ChatCompletionMessageParam] = [{"role": "user", "content": uuid.uuid4().hex}]
        whole = client.chat.completions.create(model=MODEL, messages=question)
        usage: ChatCompletionStreamOptionsParam = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=question, stream=True, stream_options=usage)
        )
    assert len(primary.calls) == 1
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("first_stream", [True, False])
def test_responses_share_an_entry_whole_or_streamed(
    gateway: RunningGateway, primary: ModelServer, protocol: str, first_stream: bool
) -> None:
    gateway.route(primary, cache=CacheRule(), protocol=protocol)
    question = uuid.uuid4().hex

    def asked(client: openai.OpenAI, stream: bool) -> openai.types.responses.Response:
        if not stream:
            return client.responses.create(model=MODEL, input=question)
        with client.responses.stream(model=MODEL, input=question) as events:
            return events.get_final_response()

    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        first, second = asked(client, first_stream), asked(client, not first_stream)
    assert len(primary.calls) == 1
    assert first.output_text == second.output_text == "Paris."
    assert (first.id, first.usage) == (second.id, second.usage)


CHANGES: list[dict[str, Any]] = [
    {"temperature": 0.1},
    {"seed": 1},
    {"response_format": {"type": "json_object"}},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Hi"}]},
    {"max_tokens": 7},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_field_that_changes_the_answer_changes_the_entry(
    gateway: RunningGateway, ask: Ask, primary: ModelServer, change: dict[str, Any]
) -> None:
    gateway.route(primary, cache=CacheRule())
    ask()
    assert ask(**change).headers["x-spanledger-cache"] == "miss"


@pytest.mark.parametrize(
    ("headers", "states"),
    [
        ({"cache-control": "no-store"}, ["off", "off"]),
        ({"cache-control": "no-cache"}, ["off", "off"]),
        ({"x-spanledger-cache": "off"}, ["off", "off"]),
    ],
    ids=str,
)
def test_a_caller_may_go_past_the_cache(
    gateway: RunningGateway, ask: Ask, primary: ModelServer, headers: dict[str, str], states: list[str]
) -> None:
    gateway.route(primary, cache=CacheRule())
    assert [ask(headers=headers).headers["x-spanledger-cache"] for _ in range(2)] == states
    assert len(primary.calls) == 2


@pytest.mark.parametrize(
    "behaviour",
    [
        {"call_tool": "f"},
        {"answer": "one two three four", "cut_after_chunks": 2},
        {"error_status": 400},
    ],
    ids=str,
)
def test_tool_calls_cuts_and_errors_are_not_kept(
    gateway: RunningGateway, ask: Ask, primary: ModelServer, behaviour: dict[str, Any]
) -> None:
    gateway.route(primary, cache=CacheRule())
    primary.set(**behaviour)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for _ in range(2):
        answer = ask(stream="cut_after_chunks" in behaviour, tools=tools)
        assert answer.headers["x-spanledger-cache"] == "miss"
    assert len(primary.calls) == 2


def test_teams_do_not_share_entries(gateway: RunningGateway, ask: Ask, primary: ModelServer) -> None:
    gateway.route(primary, cache=CacheRule())
    keys = tuple(
        SnapshotKey(id=name, hash=hashlib.sha256(secret.encode()).hexdigest(), project="shop", team=name)
        for name, secret in (("a", KEY), ("b", "sl_b"))
    )
    gateway.install(gateway.project, keys)
    assert ask().headers["x-spanledger-cache"] == "miss"
    other = ask(headers={"authorization": "Bearer sl_b"})
    assert other.headers["x-spanledger-cache"] == "miss"


def test_entries_live_in_redis_with_the_route_s_ttl(
    gateway: RunningGateway, ask: Ask, primary: ModelServer, redis_url: str
) -> None:
    gateway.route(primary, cache=CacheRule(ttl_s=30))
    ask()
    with redis.Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        (key,) = cast(list[bytes], client.keys("spanledger:cache:shop:*"))  # pyright: ignore[reportUnknownMemberType]
        assert 0 < client.pttl(key) <= 30_000
