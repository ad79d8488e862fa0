"""What wrapping the openai client adds per streamed chunk: plain and wrapped in turns, against one stub server."""

from __future__ import annotations

import json
import statistics
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

import spanledger

CHUNKS = 200


def events() -> bytes:
    """One stream: a role, so many words, a reason to stop, usage, the end."""
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def event(**more: object) -> bytes:
        return b"data: " + json.dumps({**base, **more}).encode() + b"\n\n"

    def delta(content: dict[str, str], reason: str | None = None) -> bytes:
        return event(choices=[{"index": 0, "delta": content, "finish_reason": reason}])

    words = b"".join(delta({"content": f" word{number}"}) for number in range(CHUNKS))
    usage = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": CHUNKS, "total_tokens": 209})
    return delta({"role": "assistant"}) + words + delta({}, "stop") + usage + b"data: [DONE]\n\n"


class Stub(BaseHTTPRequestHandler):
    """Answers every request with the same stream."""

    protocol_version = "HTTP/1.1"
    body = events()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        return


def stream_cpu_s(client: openai.OpenAI) -> float:
    """CPU of this thread for one stream read to its end."""
    begun = time.thread_time()
    for _ in client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    ):
        pass
    return time.thread_time() - begun


def per_chunk_us(rounds: int = 60) -> tuple[float, float]:
    """Median CPU per chunk of the plain client, and what the wrapped one takes on top, in microseconds."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        with openai.OpenAI(base_url=url, api_key="any") as plain:
            wrapped = spanledger.wrap(plain)
            for client in (plain, wrapped) * 5:
                stream_cpu_s(client)
            pairs = [(stream_cpu_s(plain), stream_cpu_s(wrapped)) for _ in range(rounds)]
        server.shutdown()
    base = statistics.median(first for first, _ in pairs)
    added = statistics.median(second - first for first, second in pairs)
    return base / CHUNKS * 1e6, added / CHUNKS * 1e6
