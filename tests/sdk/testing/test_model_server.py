"""The stand-in speaks the real protocols: proved with the providers' own clients and a vLLM scrape."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spanledger.testing.model_server import Answer, Behaviour, Call, ModelServer, ToolCall

ASK: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: dict[str, Any] = {
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(answer="Paris, on the Seine.") as running:
        yield running


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=10) as made:
        yield made


def chat(client: openai.OpenAI, **more: Any) -> Any:
    create: Any = client.chat.completions.create  # untyped: whole or a stream, as ``more`` says
    return create(model="m", messages=ASK, **more)


def scrape(server: ModelServer) -> dict[str, float]:
    text = httpx.get(f"{server.url}/metrics").text
    figures: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known: dict[str, str] = sample.labels
            rest = [value for name, value in sorted(known.items()) if name not in ("engine", "model_name")]
            figures[",".join([sample.name, *rest])] = sample.value
    return figures


def test_a_completion_has_the_answer_and_usage_that_adds_up(client: openai.OpenAI) -> None:
    done = chat(client)
    assert done.choices[0].message.content == "Paris, on the Seine."
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert 8 <= done.usage.prompt_tokens <= 25
    assert 4 <= done.usage.completion_tokens <= 10


def test_a_stream_says_the_same_and_ends_with_usage_only_when_asked(client: openai.OpenAI) -> None:
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Paris, on the Seine."
    assert chunks[-1].choices == []
    assert chunks[-1].usage == chat(client).usage
    assert all(c.usage is None for c in chunks[:-1])
    assert all(c.usage is None for c in chat(client, stream=True))


def test_n_answers_stream_interleaved(server: ModelServer, client: openai.OpenAI) -> None:
    chunks = [c.choices[0] for c in chat(client, stream=True, n=2)]
    said = {i: "".join(c.delta.content or "" for c in chunks if c.index == i) for i in (0, 1)}
    assert said == {0: "Paris, on the Seine.", 1: "Paris, on the Seine."}
    assert [c.index for c in chunks[2:6]] == [0, 1, 0, 1]
    assert len(chat(client, n=3).choices) == 3


def test_max_tokens_and_stop_end_an_answer(client: openai.OpenAI) -> None:
    cut = chat(client, max_tokens=2)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 2)
    assert chat(client, stop=" on").choices[0].message.content == "Paris,"


def test_tools_are_called_when_required_streamed_or_not(client: openai.OpenAI) -> None:
    tools: list[Any] = [{"type": "function", "function": WEATHER}]
    call = chat(client, tools=tools, tool_choice="required").choices[0]
    assert call.finish_reason == "tool_calls"
    assert call.message.tool_calls[0].function.name == "weather"
    assert json.loads(call.message.tool_calls[0].function.arguments) == {"city": "text"}
    with client.chat.completions.stream(
        model="m", messages=ASK, tools=tools, tool_choice="required"
    ) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls
    assert final is not None
    assert final[0].function.arguments == call.message.tool_calls[0].function.arguments


def test_structured_output_fits_the_schema(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(answer=None)
    schema: dict[str, Any] = {
        "$defs": {"Colour": {"enum": ["red", "blue"]}},
        "type": "object",
        "properties": {
            "colour": {"$ref": "#/$defs/Colour"},
            "sizes": {"type": "array", "items": {"type": "integer", "minimum": 3}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    text = chat(client, response_format=form).choices[0].message.content
    assert json.loads(text) == {"colour": "red", "sizes": [3], "note": "text"}
    free = chat(client, response_format={"type": "json_object"}).choices[0].message.content
    assert isinstance(json.loads(free), dict)


def test_answers_come_from_a_table_or_a_function(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(answer={"France": "Paris", "capital of France": "Paris!"})
    assert chat(client).choices[0].message.content == "Paris!"

    def answer(call: Call) -> Answer:
        return Answer(reasoning="hm", tool_calls=(ToolCall(name="weather", arguments={"q": call.question}),))

    server.set(answer=answer)
    told = chat(client)
    assert json.loads(told.choices[0].message.tool_calls[0].function.arguments) == {"q": ASK[0]["content"]}
    assert told.usage.completion_tokens_details.reasoning_tokens == 1


def test_quality_is_the_share_of_right_answers_and_the_same_each_run() -> None:
    def run() -> list[str]:
        with (
            ModelServer(answer="right", wrong_answer="wrong", quality=0.7, seed=3) as server,
            openai.OpenAI(base_url=server.base_url, api_key="any") as client,
        ):
            return [chat(client).choices[0].message.content for _ in range(60)]

    said = run()
    assert 30 <= said.count("right") <= 54
    assert said.count("right") + said.count("wrong") == 60
    assert run() == said


def test_cached_and_reasoning_tokens_are_told_as_openai_tells_them(
    server: ModelServer, client: openai.OpenAI
) -> None:
    plain = chat(client).usage
    server.set(cached_tokens=5, reasoning_tokens=7)
    told = chat(client).usage
    assert told.prompt_tokens == plain.prompt_tokens
    assert told.prompt_tokens_details.cached_tokens == 5
    assert told.completion_tokens == plain.completion_tokens + 7
    assert told.completion_tokens_details.reasoning_tokens == 7
    server.set(usage=False)
    assert chat(client).usage is None


def test_the_responses_api_whole_and_streamed(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(reasoning_tokens=4)
    whole = client.responses.create(model="m", input="Hello", instructions="Be brief")
    assert whole.output_text == "Paris, on the Seine."
    assert whole.usage is not None
    assert whole.usage.output_tokens_details.reasoning_tokens == 4
    with client.responses.stream(model="m", input="Hello", instructions="Be brief") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    cut = client.responses.create(model="m", input="Hello", max_output_tokens=2)
    assert cut.status == "incomplete"


def test_a_responses_tool_call(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "strict": False, **WEATHER}
    with client.responses.stream(model="m", input="Hi", tools=[tool], tool_choice="required") as stream:
        item = stream.get_final_response().output[0]
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"city": "text"}


def test_embeddings_of_like_texts_are_near(client: openai.OpenAI) -> None:
    texts = ["the price of a token", "what is the price of a token", "penguins swim"]
    made = client.embeddings.create(model="e", input=texts, dimensions=64)
    first, near, far = (item.embedding for item in made.data)
    assert len(first) == 64
    assert sum(a * a for a in first) == pytest.approx(1.0, abs=1e-5)
    dots = [sum(a * b for a, b in zip(first, other, strict=True)) for other in (near, far)]
    assert dots[0] > 0.7 > 0.4 > dots[1]
    assert made.usage.prompt_tokens == made.usage.total_tokens >= 12


def test_anthropic_whole_and_streamed_with_cache_tokens(server: ModelServer) -> None:
    server.set(cached_tokens=4, cache_write_tokens=3, cache_write_1h_tokens=2)
    client = anthropic.Anthropic(base_url=server.url, api_key="any")
    with client:
        whole = client.messages.create(model="m", max_tokens=99, messages=ASK)
        assert whole.content[0].type == "text"
        assert whole.content[0].text == "Paris, on the Seine."
        assert whole.stop_reason == "end_turn"
        assert whole.usage.cache_read_input_tokens == 4
        assert whole.usage.cache_creation_input_tokens == 5
        assert whole.usage.cache_creation is not None
        assert whole.usage.cache_creation.ephemeral_1h_input_tokens == 2
        with client.messages.stream(model="m", max_tokens=99, messages=ASK) as stream:
            final = stream.get_final_message()
        assert [block.text for block in final.content if block.type == "text"] == [whole.content[0].text]
        assert final.usage.output_tokens == whole.usage.output_tokens
        assert final.usage.input_tokens == whole.usage.input_tokens
        counted = client.messages.count_tokens(model="m", messages=ASK)
    assert counted.input_tokens == whole.usage.input_tokens + 4 + 5


def test_anthropic_tools_and_errors(server: ModelServer) -> None:
    tool: Any = {"name": "weather", "input_schema": WEATHER["parameters"]}
    ask: Any = {"model": "m", "max_tokens": 9, "messages": ASK}
    client = anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0)
    with client:
        with client.messages.stream(**ask, tools=[tool], tool_choice={"type": "any"}) as stream:
            block = stream.get_final_message().content[0]
        assert block.type == "tool_use"
        assert block.input == {"city": "text"}
        server.set(error_status=529)
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            client.messages.create(**ask)
        assert overloaded.value.status_code == 529
        body: Any = overloaded.value.body
        assert body["error"]["type"] == "overloaded_error"
        server.set(error_status=0, cut_after_chunks=1, cut="error")
        with (
            pytest.raises(anthropic.APIStatusError, match="Overloaded"),
            client.messages.stream(**ask) as cut,
        ):
            cut.get_final_message()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"messages": ASK}, 400, "model"),
        ({"model": "m"}, 400, "messages"),
        ({"model": "m", "messages": []}, 400, "messages"),
        ({"model": "m", "messages": [{"role": "boss", "content": "x"}]}, 400, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ({"model": "m", "messages": ASK, "temperature": 3}, 400, "temperature"),
        ({"model": "m", "messages": ASK, "n": 0}, 400, "n"),
        ({"model": "m", "messages": ASK, "stream_options": {}}, 400, "stream_options"),
        ({"model": "none", "messages": ASK}, 404, None),
    ],
)
def test_refuses_what_openai_refuses(body: dict[str, Any], status: int, param: str | None) -> None:
    with ModelServer(models=["m"]) as server:
        answer = httpx.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_refuses_keys_broken_json_paths_and_long_prompts() -> None:
    with ModelServer(api_keys=["good"], context_tokens=10) as server:
        url, key = f"{server.base_url}/chat/completions", {"authorization": "Bearer good"}
        assert httpx.post(url, json={}).status_code == 401
        wrong = httpx.post(url, json={}, headers={"authorization": "Bearer wrong"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert httpx.post(url, content=b"{nope", headers=key).status_code == 400
        assert httpx.get(f"{server.url}/nope").json()["error"]["message"] == "Invalid URL (GET /nope)"
        long = httpx.post(url, json={"model": "m", "messages": ASK}, headers=key)
        assert long.json()["error"]["code"] == "context_length_exceeded"


def test_errors_come_as_often_as_told_and_say_when_to_retry(
    server: ModelServer, client: openai.OpenAI
) -> None:
    server.set(error_status=429, retry_after_s=2, error_times=2)
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as limited:
            chat(client)
        assert limited.value.response.headers["retry-after"] == "2"
    assert chat(client).choices
    assert server.counts == {"requests": 3, "error": 2, "ok": 1}


@pytest.mark.parametrize("cut", ["abrupt", "error", "malformed", "clean"])
def test_a_stream_can_be_cut_in_every_way(server: ModelServer, client: openai.OpenAI, cut: str) -> None:
    server.set(cut_after_chunks=2, cut=cut)
    got: list[str] = []

    def read() -> None:
        for chunk in chat(client, stream=True):
            got.append(chunk.choices[0].delta.content or "")

    if cut == "clean":
        read()
    else:
        # openai brings httpx or httpx2, and lets a broken body's error through as it is.
        with pytest.raises(Exception, match=r"reset|had an error|Unterminated|delimiter"):
            read()
    assert "".join(got) == "Paris,"
    server.wait_for("cut")


def test_resets_malformed_bodies_and_silence(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(fault="reset")
    with pytest.raises(openai.APIConnectionError):
        chat(client)
    server.set(fault="malformed")
    with pytest.raises(json.JSONDecodeError):
        chat(client)
    server.set(fault="timeout")
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.2))
    server.wait_for("timeout")


def test_a_caller_that_goes_away_is_counted(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(answer="word " * 500, chunk_s=0.01)
    stream = chat(client, stream=True)
    for _, _chunk in zip(range(5), stream, strict=False):
        pass
    stream.close()
    server.wait_for("disconnected")
    assert 3 <= server.calls[0].chunks < 100


def test_latency_first_token_and_pace_are_kept(server: ModelServer, client: openai.OpenAI) -> None:
    server.set(answer="one two three", latency_s=0.05, first_token_s=0.1, chunk_s=0.05)
    start = time.monotonic()
    times = [time.monotonic() - start for c in chat(client, stream=True) if c.choices[0].delta.content]
    assert times[0] >= 0.15
    assert times[2] - times[0] >= 0.09


def test_vllm_metrics_move_under_the_real_names() -> None:
    with (
        ModelServer(flavour="vllm", answer="Paris, on the Seine.", models=["llama"]) as server,
        openai.OpenAI(base_url=server.base_url, api_key="any") as client,
    ):
        before = scrape(server)
        assert before["vllm:prompt_tokens_total"] == 0
        messages: Any = [{"role": "user", "content": "passage " * 100}]
        used = [client.chat.completions.create(model="llama", messages=messages).usage for _ in range(2)]
        after = scrape(server)
    assert used[0] is not None
    assert used[1] is not None
    assert used[1].prompt_tokens_details is not None
    cached = used[1].prompt_tokens_details.cached_tokens or 0
    assert cached >= 64
    assert after["vllm:prompt_tokens_total"] == used[0].prompt_tokens + used[1].prompt_tokens
    assert after["vllm:prefix_cache_hits_total"] == cached
    assert after["vllm:generation_tokens_total"] == used[0].completion_tokens + used[1].completion_tokens
    assert after["vllm:request_success_total,stop"] == 2
    assert after["vllm:num_requests_running"] == 0


def test_vllm_metric_names_are_those_of_a_real_scrape() -> None:
    root = Path(__file__).resolve().parents[3]
    places = [Path(os.environ.get("SPANLEDGER_TEST_DATA", "/nonexistent"))]
    places += [parent / "../shared/data" for parent in (root, root.parent)]
    found = next((p for p in places if (p / "vllm").is_dir()), None)
    if found is None:
        pytest.skip("no vLLM scrape at hand (SPANLEDGER_TEST_DATA)")
    real = (found / "vllm" / "metrics-0.32-cpu.txt").read_text()
    with ModelServer(flavour="vllm", models=["smollm2"]) as server:
        ours = httpx.get(f"{server.url}/metrics").text
    kinds = {
        text: {f.name: f.type for f in text_string_to_metric_families(text) if f.name.startswith("vllm:")}
        for text in (real, ours)
    }
    assert len(kinds[ours]) >= 24
    assert kinds[ours].items() <= kinds[real].items()
    assert "vllm:num_requests_waiting" in kinds[ours]


def test_a_full_batch_makes_others_wait() -> None:
    with ModelServer(flavour="vllm", max_running=1, latency_s=1.5) as server:
        body: dict[str, Any] = {"model": "m", "messages": ASK}
        request = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(request)}\r\n\r\n"
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        for each in sockets:
            each.sendall(head.encode() + request)
        deadline = time.monotonic() + 5
        while (gauges := scrape(server))["vllm:num_requests_waiting"] < 1:
            assert time.monotonic() < deadline
        assert gauges["vllm:num_requests_running"] == 1
        server.wait_for("ok", 2)
        for each in sockets:
            each.close()


def test_behaviour_is_changed_at_run_time_and_mistakes_are_named(server: ModelServer) -> None:
    changed = httpx.put(f"{server.url}/control", json={"error_status": 500, "answer": {"a": "b"}})
    assert changed.json()["behaviour"]["error_status"] == 500
    assert server.behaviour.answer == {"a": "b"}
    wrong = httpx.put(f"{server.url}/control", json={"latency": 3})
    assert wrong.status_code == 400
    assert "latency_s" in wrong.json()["error"]
    assert httpx.put(f"{server.url}/control", json={"quality": "bad"}).status_code == 400
    body: dict[str, Any] = {"model": "m", "messages": ASK}
    httpx.post(f"{server.base_url}/chat/completions", json=body, headers={"authorization": "Bearer sk-1"})
    shown = httpx.get(f"{server.url}/control/calls").json()["calls"][0]
    assert (shown["outcome"], shown["headers"]["authorization"]) == ("error", "(hidden)")
    httpx.delete(f"{server.url}/control")
    assert server.behaviour == Behaviour(answer="Paris, on the Seine.")
    assert server.calls == []


def test_the_port_is_free_again_after_a_stop_with_a_call_open() -> None:
    with ModelServer(latency_s=30) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        body = json.dumps({"model": "m", "messages": ASK})
        raw.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        server.wait_for("open")
        started = time.monotonic()
    assert time.monotonic() - started < 5
    with ModelServer(port=server.port):
        pass
    raw.close()


def test_it_runs_as_a_process(tmp_path: Path) -> None:
    told = tmp_path / "behaviour.json"
    told.write_text(json.dumps({"answer": "from a file"}))
    command = [
        sys.executable,
        "-m",
        "spanledger.testing.model_server",
        "--port",
        "0",
        "--behaviour",
        str(told),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
            assert chat(client).choices[0].message.content == "from a file"
        process.terminate()
        assert process.wait(10) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/health", timeout=1)


def test_importing_spanledger_does_not_bring_the_server_along() -> None:
    probe = "import sys, spanledger; sys.exit('aiohttp' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
