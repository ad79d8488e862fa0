"""The rules of streams, byte by byte: held status, in-band errors, usage injected and stripped, disconnects."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
import uuid
from typing import Any

import openai
import pytest

from spanledger import semconv
from spanledger.testing.model_server import ModelServer
from tests.gateway.conftest import KEY, MODEL, RunningGateway

pytestmark = pytest.mark.broker

TEN = "one two three four five six seven eight nine ten"


def events(body: bytes) -> list[Any]:
    """The data of each event; ``[DONE]`` stays text."""
    found = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event.strip()]
    return [data.decode() if data == b"[DONE]" else json.loads(data) for data in found]


def objects(found: list[Any]) -> list[dict[str, Any]]:
    """The events that are no ``[DONE]``."""
    return [event for event in found if event != "[DONE]"]


def text_of(found: list[Any]) -> str:
    choices: list[Any] = [choice for event in objects(found) for choice in event.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_a_stream_s_bytes_are_the_provider_s(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    usage: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    answer = gateway.chat(**usage)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        **usage,
    }
    request = urllib.request.Request(f"{primary.base_url}/chat/completions", json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as response:
        expected: bytes = response.read()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert _without_ids(answer.body) == _without_ids(expected)


def _without_ids(body: bytes) -> list[Any]:
    volatile = ("id", "created")
    return [{k: v for k, v in event.items() if k not in volatile} for event in objects(events(body))]


def test_usage_is_asked_for_and_taken_out_again_when_the_caller_did_not_ask(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary)
    answer = gateway.chat(stream=True)
    assert primary.calls[0].body["stream_options"] == {"include_usage": True}
    assert b"usage" not in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    request, attempt = gateway.spans(answer, 2)
    assert attempt[semconv.OUTPUT_TOKENS] == 2
    assert attempt.get(semconv.USAGE_ESTIMATED) is None
    assert request[semconv.STREAM] is True
    assert attempt[semconv.TTFT_S] > 0


def test_usage_is_passed_on_when_the_caller_asked(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    answer = gateway.chat(stream=True, stream_options={"include_usage": True})
    assert events(answer.body)[-2]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("wants_usage", [False, True])
def test_an_engine_tells_its_usage_so_far_and_the_caller_sees_nothing_of_it(
    gateway: RunningGateway, primary: ModelServer, wants_usage: bool
) -> None:
    primary.set(answer=TEN, flavour="vllm")
    gateway.route(primary, protocol="vllm")
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if wants_usage else {}
    whole = gateway.chat(stream=True, **options)
    assert primary.calls[-1].body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    told = [event["usage"] for event in objects(events(whole.body)) if "usage" in event]
    assert [usage for usage in told if usage] == (told[-1:] if wants_usage else [])
    assert text_of(events(whole.body)) == TEN
    primary.set(cut_after_chunks=4)
    cut = gateway.chat(stream=True, **options)
    attempt = gateway.spans(cut, 2)[1]
    assert attempt[semconv.STATUS] == "cut"
    # What the engine said in the last chunk that came, and no estimate.
    assert attempt.get(semconv.USAGE_ESTIMATED) is None
    assert attempt[semconv.OUTPUT_TOKENS] == 4


def test_an_error_before_the_first_content_falls_back_and_the_caller_sees_nothing_of_it(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer
) -> None:
    gateway.route(primary, backup)
    primary.set(cut_after_chunks=0, cut="error")
    answer = gateway.chat(stream=True)
    assert answer.status == 200
    found = events(answer.body)
    assert text_of(found) == "Paris, says the backup."
    assert len({event["id"] for event in objects(found)}) == 1
    assert answer.headers["x-spanledger-fallback"] == f"up0/{MODEL}"


@pytest.mark.parametrize("how", ["abrupt", "clean", "error", "malformed"])
def test_a_stream_cut_after_content_ends_in_band_without_done_and_never_switches(
    gateway: RunningGateway, primary: ModelServer, backup: ModelServer, how: str
) -> None:
    gateway.route(primary, backup)
    primary.set(answer=TEN, cut_after_chunks=3, cut=how)
    answer = gateway.chat(stream=True)
    assert answer.status == 200
    found = events(answer.body)
    assert b"[DONE]" not in answer.body
    assert found[-1]["error"]["code"] == "stream_cut"
    assert text_of(found) == "one two three"
    assert backup.calls == []
    request, attempt = gateway.spans(answer, 2)
    assert (request[semconv.STATUS], attempt[semconv.STATUS]) == ("cut", "cut")
    assert attempt[semconv.USAGE_ESTIMATED] is True
    assert attempt[semconv.OUTPUT_TOKENS] >= 3
    assert attempt[semconv.BILLABLE] is True


def test_a_stalled_stream_is_cut(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary, first_token_timeout_s=0.4)
    primary.set(answer=TEN, cut_after_chunks=3, cut="stall")
    answer = gateway.chat(stream=True)
    assert events(answer.body)[-1]["error"]["message"] == "the provider's stream stalled"


def test_the_openai_client_raises_on_a_cut(gateway: RunningGateway, primary: ModelServer) -> None:
    gateway.route(primary)
    primary.set(answer=TEN, cut_after_chunks=3)
    with openai.OpenAI(base_url=gateway.base_url, api_key=KEY) as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(openai.APIError):
            list(stream)


def test_a_caller_that_hangs_up_after_the_last_event_had_a_whole_answer(
    gateway: RunningGateway, primary: ModelServer
) -> None:
    gateway.route(primary)
    primary.set(end_s=1.0)  # the provider keeps its connection a little longer than its answer
    answer = gateway.chat(stream=True)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    request, attempt = gateway.spans(answer, 2)
    assert request.get(semconv.STATUS) in (None, "ok")
    assert attempt.get(semconv.STATUS) in (None, "ok")
    assert attempt.get(semconv.OUTPUT_TOKENS)


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_closes_the_upstream_at_once(
    gateway: RunningGateway, primary: ModelServer, stream: bool
) -> None:
    gateway.route(primary, protocol="vllm")
    primary.set(answer=TEN * 100, chunk_s=0.01, latency_s=0 if stream else 5)
    body = json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    trace = uuid.uuid4().hex
    head += f"traceparent: 00-{trace}-b7ad6b7169203331-01\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body)
        if stream:
            while b" four" not in connection.recv(65536):
                pass
        else:
            time.sleep(0.3)
    began = time.monotonic()
    primary.wait_for("disconnected", timeout_s=2)
    assert time.monotonic() - began < 0.5
    _, attempt = gateway.collector.trace(trace, lambda found: len(found) == 2)
    assert attempt[semconv.STATUS] == "cancelled"
    assert attempt[semconv.USAGE_ESTIMATED] is True
    assert attempt[semconv.BILLABLE] is True
    if stream:
        assert attempt[semconv.OUTPUT_TOKENS] >= 4
