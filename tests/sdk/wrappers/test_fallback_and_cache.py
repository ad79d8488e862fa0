"""A wrapped client with fallbacks and a cache decides as the gateway does, and records what it decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

import spanledger
from spanledger.serving.routing import PRIMARY
from spanledger.testing.capture import CapturedSpans, capture
from spanledger.testing.model_server import ModelServer
from spanledger.wrappers import route_states

ASK: list[Any] = [{"role": "user", "content": "Capital of France?"}]


@pytest.fixture
def first() -> Iterator[ModelServer]:
    with ModelServer(answer="from the first") as running:
        yield running


@pytest.fixture
def second() -> Iterator[ModelServer]:
    with ModelServer(answer="from the second") as running:
        yield running


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture() as captured:
        yield captured


def client_of(server: ModelServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="any", timeout=5)


def text(client: openai.OpenAI, **more: Any) -> str:
    create: Any = client.chat.completions.create
    return create(model="m", messages=ASK, **more).choices[0].message.content or ""


@pytest.fixture
def pair(first: ModelServer, second: ModelServer) -> Iterator[openai.OpenAI]:
    with client_of(first) as one, client_of(second) as two:
        yield spanledger.wrap(one, fallback=[(two, "other-model")], route="qa")


def test_a_healthy_client_is_asked_alone(
    pair: openai.OpenAI, second: ModelServer, spans: CapturedSpans
) -> None:
    assert text(pair) == "from the first"
    assert second.calls == []
    assert spans[0].attributes["spanledger.attempt"] == 1
    assert spans[0].attributes["spanledger.route"] == "qa"


@pytest.mark.parametrize("status", [429, 500, 503, 404])
def test_a_failure_goes_to_the_fallback_at_once(
    pair: openai.OpenAI, first: ModelServer, second: ModelServer, spans: CapturedSpans, status: int
) -> None:
    first.set(error_status=status)
    assert text(pair) == "from the second"
    assert len(first.calls) == 1
    assert second.calls[0].model == "other-model"
    failed, served = spans
    assert (failed.status, served.status) == ("error", "ok")
    assert served.attributes["spanledger.attempt"] == 2
    assert served.attributes["spanledger.fallback_from"] == "127.0.0.1"
    assert served.attributes["gen_ai.request.model"] == "other-model"


def test_the_callers_own_mistake_is_not_tried_elsewhere(
    pair: openai.OpenAI, first: ModelServer, second: ModelServer, spans: CapturedSpans
) -> None:
    first.set(error_status=400)
    with pytest.raises(openai.BadRequestError):
        text(pair)
    assert second.calls == []


def test_when_all_fail_the_last_error_is_the_clients_own(
    pair: openai.OpenAI, first: ModelServer, second: ModelServer, spans: CapturedSpans
) -> None:
    first.set(error_status=500)
    second.set(error_status=429)
    with pytest.raises(openai.RateLimitError):
        text(pair.with_options(max_retries=0))
    assert [span.status for span in spans] == ["error", "error"]


def test_a_client_that_keeps_failing_is_passed_by(
    pair: openai.OpenAI, first: ModelServer, spans: CapturedSpans
) -> None:
    first.set(error_status=500)
    for _ in range(6):
        assert text(pair) == "from the second"
    assert len(first.calls) == 3  # then it cools down


def test_a_stream_falls_back_before_it_begins(
    pair: openai.OpenAI, first: ModelServer, spans: CapturedSpans
) -> None:
    first.set(error_status=503)
    stream = pair.chat.completions.create(model="m", messages=ASK, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "from the second"


@pytest.mark.anyio
async def test_async_clients_fall_back_and_cache_alike(
    first: ModelServer, second: ModelServer, spans: CapturedSpans
) -> None:
    first.set(error_status=500)
    one = openai.AsyncOpenAI(base_url=first.base_url, api_key="any")
    two = openai.AsyncOpenAI(base_url=second.base_url, api_key="any")
    async with one, two:
        client = spanledger.wrap(one, fallback=[two], cache=True)
        for _ in range(2):
            answer = await client.chat.completions.create(model="m", messages=ASK)
            assert answer.choices[0].message.content == "from the second"
        stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
        streamed = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert streamed == "from the second"
    assert (len(first.calls), len(second.calls)) == (1, 1)
    assert [span.attributes.get("spanledger.cache") for span in spans] == ["miss", "miss", "exact", "exact"]


def test_a_repeated_request_is_answered_from_the_cache_in_any_form(
    first: ModelServer, spans: CapturedSpans
) -> None:
    with client_of(first) as plain:
        client = spanledger.wrap(plain, cache=True)
        whole = client.chat.completions.create(model="m", messages=ASK, user="u1")
        again = client.chat.completions.create(model="m", messages=ASK, user="u2")
        streamed = list(
            client.chat.completions.create(
                model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
            )
        )
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASK)
        other = client.chat.completions.create(model="m", messages=ASK, temperature=0.1)
    assert len(first.calls) == 2
    assert whole == again
    assert "".join(c.choices[0].delta.content or "" for c in streamed if c.choices) == "from the first"
    assert streamed[-1].usage == whole.usage or streamed[-1].usage is not None
    assert raw.parse() == whole
    assert other.id != whole.id
    states = [span.attributes["spanledger.cache"] for span in spans]
    assert states == ["miss", "exact", "exact", "exact", "miss"]
    assert spans[1].attributes["spanledger.cache.age_ns"] >= 0
    assert (
        spans[1].attributes["gen_ai.usage.output_tokens"] == spans[0].attributes["gen_ai.usage.output_tokens"]
    )
    assert spans[1].output == spans[0].output == spans[2].output


def test_a_stream_read_whole_is_kept_and_one_left_early_is_not(
    first: ModelServer, spans: CapturedSpans
) -> None:
    with client_of(first) as plain:
        client = spanledger.wrap(plain, cache=True)
        with client.chat.completions.create(model="m", messages=ASK, stream=True) as stream:
            next(stream)
        list(client.chat.completions.create(model="m", messages=ASK, stream=True))
        assert text(client) == "from the first"
    assert len(first.calls) == 2


def test_the_caller_may_refuse_the_cache(first: ModelServer, spans: CapturedSpans) -> None:
    with client_of(first) as plain:
        client = spanledger.wrap(plain, cache=spanledger.ExactCache(ttl_s=60))
        for _ in range(2):
            text(client, extra_headers={"Cache-Control": "no-store"})
    assert len(first.calls) == 2


def test_anthropic_serves_from_the_cache_too(first: ModelServer, spans: CapturedSpans) -> None:
    with anthropic.Anthropic(base_url=first.url, api_key="any") as plain:
        client = spanledger.wrap(plain, cache=True)
        answers = [client.messages.create(model="c", max_tokens=99, messages=ASK) for _ in range(2)]
        with client.messages.stream(model="c", max_tokens=99, messages=ASK) as stream:
            assert stream.get_final_text() == "from the first"
    assert answers[0].content == answers[1].content
    assert len(first.calls) == 1
    assert [span.attributes["gen_ai.provider.name"] for span in spans] == ["anthropic"] * 3


def test_a_fallback_of_another_kind_is_refused(first: ModelServer) -> None:
    refused = pytest.raises(TypeError, match="a fallback of OpenAI must be one too, not Anthropic")
    with client_of(first) as one, anthropic.Anthropic(api_key="any") as other, refused:
        spanledger.wrap(one, fallback=[other])


@pytest.mark.broker
def test_the_servers_route_state_is_obeyed(
    first: ModelServer, second: ModelServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from redis import Redis

    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.setenv("SPANLEDGER_REDIS_URL", "redis://127.0.0.1:9/0")
    with capture(project="p1"), client_of(first) as one, client_of(second) as two:
        client = spanledger.wrap(one, fallback=[two], route="switched")
        assert text(client) == "from the first"
        monkeypatch.setenv("SPANLEDGER_REDIS_URL", redis_url)  # what was asked before is let go
        redis.hset("spanledger:route:p1:switched", mapping={"state": "fallback", "reason": "quality"})
        deadline = time.monotonic() + 20
        while text(client) != "from the second" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert text(client) == "from the second"
        redis.delete("spanledger:route:p1:switched")
        while text(client) != "from the first" and time.monotonic() < deadline + 5:
            time.sleep(0.1)
        assert text(client) == "from the first"
    redis.close()


def test_odd_states_mean_primary() -> None:
    assert route_states.read({}) == PRIMARY
    assert route_states.read({"state": "sideways"}) == PRIMARY
    assert route_states.read({"state": "fallback", "canary": "x"}).state == "fallback"
