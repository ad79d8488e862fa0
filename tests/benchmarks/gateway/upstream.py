"""A paced stand-in stream on a bare asyncio protocol: ``python -m tests.benchmarks.gateway.upstream PORT CHUNKS GAP_MS``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(delta: dict[str, str], finish: str | None = None, **more: object) -> bytes:
    """One completion chunk as an event."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return b"data: " + json.dumps({**body, "choices": choices, **more}).encode() + b"\n\n"


class Stream(asyncio.Protocol):
    """Answers every request with the same paced stream."""

    def __init__(self, chunks: int, gap_s: float) -> None:
        self._chunks = chunks
        self._gap_s = gap_s
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a whole request is there."""
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        if blank and len(body) >= int(lengths[0] if lengths else 0):
            self._buffer = b""
            self._task = asyncio.get_running_loop().create_task(self._answer())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self) -> None:
        piece = chunk(event({"content": "token "}))
        self._transport.write(HEAD + chunk(event({"role": "assistant", "content": ""})) + piece)
        for _ in range(self._chunks - 1):
            if self._gap_s:
                await asyncio.sleep(self._gap_s)
            self._transport.write(piece)
        usage = {"prompt_tokens": 9, "completion_tokens": self._chunks, "total_tokens": 9 + self._chunks}
        end = event({}, "stop") + b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
        self._transport.write(chunk(end + b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def main(port: int, chunks: int, gap_s: float) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Stream(chunks, gap_s), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
