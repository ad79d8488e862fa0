"""Google's client against a stand-in server, and vLLM's offline engine by the shape of its results."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

import spanledger
from spanledger.testing.capture import CapturedSpan, capture

USAGE = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 6,
    "thoughtsTokenCount": 4,
    "cachedContentTokenCount": 5,
    "totalTokenCount": 30,
}


def chunk(text: str, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001", "responseId": "r1"}


WHOLE = {**chunk("Paris.", finishReason="STOP"), "usageMetadata": USAGE}
STREAM = [chunk("Pa"), chunk("ris"), {**chunk(".", finishReason="STOP"), "usageMetadata": USAGE}]


class Google(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, kind = 200, "application/json"
        if "broken" in self.path:
            status, body = 429, json.dumps({"error": {"code": 429, "message": "slow down"}}).encode()
        elif "streamGenerateContent" in self.path:
            kind = "text/event-stream"
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in STREAM)
        elif "mbed" in self.path:
            body = json.dumps({"embeddings": [{"values": [0.1, 0.2]}]}).encode()
        else:
            body = json.dumps(WHOLE).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def google_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Google) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def client(google_url: str) -> Iterator[genai.Client]:
    made = genai.Client(api_key="any", http_options=types.HttpOptions(base_url=google_url))
    yield spanledger.wrap(made)
    made.close()


def text_of(span: CapturedSpan) -> str:
    return "".join(part["content"] for part in span.output[0]["parts"])


def test_generate_content(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        temperature=0.3, max_output_tokens=9, system_instruction="be brief", tools=[]
    )
    with capture() as spans:
        answer = client.models.generate_content(model="gemini-2.5-flash", contents="Capital?", config=config)
    (span,) = spans
    got = span.attributes
    assert span.name == "generate_content gemini-2.5-flash"
    assert text_of(span) == answer.text == "Paris."
    assert span.input == [{"role": "user", "parts": [{"type": "text", "content": "Capital?"}]}]
    assert (got["gen_ai.request.temperature"], got["gen_ai.request.max_tokens"]) == (0.3, 9)
    assert (got["gen_ai.provider.name"], got["gen_ai.response.id"]) == ("gcp.gemini", "r1")
    assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (20, 10)
    assert got["gen_ai.usage.reasoning.output_tokens"] == 4
    assert got["gen_ai.usage.cache_read.input_tokens"] == 5
    assert "be brief" in got["gen_ai.system_instructions"]


def test_generate_content_streamed_whole_and_left_early(client: genai.Client) -> None:
    with capture() as spans:
        stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents="Capital?")
        whole = "".join(part.text or "" for part in stream)
        for part in client.models.generate_content_stream(model="gemini-2.5-flash", contents="Capital?"):
            assert part.text == "Pa"
            break
    first, second = spans
    assert text_of(first) == whole == "Paris."
    assert first.attributes["gen_ai.usage.output_tokens"] == 10
    assert first.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert (text_of(second), second.status) == ("Pa", "cancelled")


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # the client's own, of aiohttp
async def test_the_async_client(client: genai.Client) -> None:
    with capture() as spans:
        whole = await client.aio.models.generate_content(model="gemini-2.5-flash", contents="Capital?")
        stream = await client.aio.models.generate_content_stream(
            model="gemini-2.5-flash", contents="Capital?"
        )
        streamed = "".join([part.text or "" async for part in stream])
    await client.aio.aclose()
    assert [text_of(span) for span in spans] == [whole.text, streamed] == ["Paris."] * 2


def test_embeddings_and_errors(client: genai.Client) -> None:
    with capture() as spans:
        client.models.embed_content(model="gemini-embedding-001", contents="text")
        with pytest.raises(errors.ClientError):
            client.models.generate_content(model="broken", contents="x")
    assert [span.name for span in spans] == ["embeddings gemini-embedding-001", "generate_content broken"]
    assert spans[1].status == "error"


def output(text: str, tokens: int, **more: Any) -> SimpleNamespace:
    choice = SimpleNamespace(text=text, token_ids=list(range(tokens)), finish_reason="stop")
    return SimpleNamespace(request_id="7", prompt_token_ids=[1, 2, 3], outputs=[choice], **more)


def engine() -> Any:
    """An object with vLLM's public shape; the library itself needs an accelerator."""
    now = time.time()
    metrics = SimpleNamespace(
        arrival_time=now, first_token_time=now + 0.25, finished_time=now + 1.25, time_in_queue=0.1
    )

    def generate(self: Any, prompts: Any, sampling_params: Any = None, **more: Any) -> list[Any]:
        if prompts == "fail":
            raise RuntimeError("out of memory")
        asked = [prompts] if isinstance(prompts, str) else prompts
        return [output(f"answer to {prompt}", 5, metrics=metrics, num_cached_tokens=2) for prompt in asked]

    def chat(self: Any, messages: Any, sampling_params: Any = None) -> list[Any]:
        return [output("hello", 2)]

    kind = type("LLM", (), {"generate": generate, "chat": chat, "__module__": "vllm.entrypoints.llm"})
    made: Any = kind()
    made.llm_engine = SimpleNamespace(model_config=SimpleNamespace(served_model_name="llama-3", model="path"))
    return made


def test_vllm_records_each_prompt_of_a_batch() -> None:
    llm = spanledger.wrap(engine())
    with capture() as spans:
        answers = llm.generate(
            ["one", "two"], SimpleNamespace(temperature=0.1, max_tokens=5, top_p=1.0, seed=None)
        )
    assert type(llm).__name__ == "LLM"
    first, second, batch = spans
    assert [text_of(span) for span in (first, second)] == [answer.outputs[0].text for answer in answers]
    assert {first.parent_span_id, second.parent_span_id} == {batch.span_id}
    assert first.input == [{"role": "user", "content": "one"}]
    got = first.attributes
    assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (3, 5)
    assert got["gen_ai.usage.cache_read.input_tokens"] == 2
    assert got["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.25)
    assert got["spanledger.tpot_ns"] == pytest.approx(0.25e9, rel=1e-3)
    assert got["gen_ai.latency.time_in_queue"] == pytest.approx(0.1)
    assert "gen_ai.operation.name" not in batch.attributes


def test_vllm_chat_and_errors() -> None:
    llm = spanledger.wrap(engine())
    with capture() as spans:
        llm.chat([{"role": "user", "content": "hi"}])
        with pytest.raises(RuntimeError, match="out of memory"):
            llm.generate("fail")
    chat, _, failed = spans
    assert (chat.name, chat.input) == ("chat llama-3", [{"role": "user", "content": "hi"}])
    assert (failed.name, failed.status) == ("vllm.generate", "error")


def answering(answers: list[Any]) -> Any:
    def generate(self: Any, prompts: Any, sampling_params: Any = None, **more: Any) -> list[Any]:
        return answers

    return generate


PROMPTS: list[tuple[Any, list[str]]] = [
    ([1, 2, 3], ["<3 token ids>"]),
    ({"prompt_token_ids": [1, 2, 3]}, ["<3 token ids>"]),
    ([{"prompt": "a", "multi_modal_data": {}}, {"prompt_token_ids": [4]}], ["a", "<3 token ids>"]),
    ([[1, 2], [3]], ["<3 token ids>"] * 2),
]


@pytest.mark.parametrize(("prompts", "asked"), PROMPTS)
def test_vllm_prompts_in_every_form(prompts: Any, asked: list[str]) -> None:
    made = engine()
    type(made).generate = answering([output("x", 1) for _ in asked])
    with capture() as spans:
        spanledger.wrap(made).generate(prompts)
    assert [span.input[0]["content"] for span in spans[:-1]] == asked


def test_vllm_choices_times_and_names_of_newer_engines() -> None:
    made = engine()
    choices = [
        SimpleNamespace(text=text, token_ids=[1, 2], finish_reason="length", logprobs=[{}]) for text in "ab"
    ]
    times = SimpleNamespace(
        arrival_time=time.time(), queued_ts=10.0, scheduled_ts=10.5, first_token_ts=11.0, last_token_ts=14.0,
        first_token_latency=1.0, num_generation_tokens=4,
    )  # fmt: skip
    answers = [
        SimpleNamespace(prompt_token_ids=None),  # an output of a form that nobody knows takes no other along
        SimpleNamespace(request_id="8", prompt="text", prompt_token_ids=[1], outputs=choices, metrics=times),
    ]
    type(made).generate = answering(answers)
    made.llm_engine.model_config.served_model_name = ["llama-4", "alias"]
    with capture() as spans:
        assert spanledger.wrap(made).generate(["one", "two"]) is answers
    call = next(span for span in spans if span.name == "text_completion llama-4")
    assert [message["parts"][0]["content"] for message in call.output] == ["a", "b"]
    got = call.attributes
    assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (1, 4)
    assert got["gen_ai.response.time_to_first_chunk"] == 1.0
    assert got["spanledger.tpot_ns"] == pytest.approx(1e9)
    assert got["gen_ai.latency.time_in_queue"] == pytest.approx(0.5)
    assert got["gen_ai.response.finish_reasons"] == ("length", "length")
