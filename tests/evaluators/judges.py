"""A judge's server for tests: it answers any JSON schema soundly, and can be told to fail in many ways."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

ITEMS = 2  # every list holds two entries, so that counts agree

Json = dict[str, Any]
Spoil = Callable[[Json], "Said"]


@dataclass(frozen=True)
class Said:
    """What goes over the wire: a message's text, or a whole answer of another status."""

    text: str = ""
    status: int = 200
    finish: str = "stop"
    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    hang_s: float = 0.0


@dataclass(frozen=True)
class Filler:
    """Makes a value that fits a JSON schema: true, 1, the first of an enumeration, ``items`` entries a list."""

    root: Json
    items: int = ITEMS
    number: Any = None
    word: str = ""

    def fill(self, schema: Json, name: str = "") -> Any:
        if "$ref" in schema:
            target: Json = self.root
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target[part]
            return self.fill(target, name)
        if "anyOf" in schema:
            return self.fill(schema["anyOf"][0], name)
        options: list[Any] = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
        if options:
            return self.word or options[0]
        return self._of_type(schema, name)

    def _of_type(self, schema: Json, name: str) -> Any:
        kind = schema.get("type")
        if kind == "object":
            parts: Json = schema.get("properties") or {}
            known = {key: self.fill(part, key) for key, part in parts.items()}
            free: Json = schema.get("additionalProperties") or {} if self.items else {}
            return known or ({"fact": self.fill(free)} if free else {})
        if kind == "array":
            return self._list(schema, 3 if name == "questions" and self.items else self.items)
        if kind in ("integer", "number", "boolean"):
            return self.number if self.number is not None else kind == "boolean" or 1
        return self.word or "something plain"

    def _list(self, schema: Json, count: int) -> list[Any]:
        entries = [self.fill(schema["items"]) for _ in range(count)]
        for position, entry in enumerate(entries, 1):
            if isinstance(entry, dict) and self.number is None:
                values = cast(Json, entry)
                values.update({key: position for key in ("number", "index") if key in values})
        return entries


def filled(schema: Json, *, items: int = ITEMS, number: Any = None, word: str = "") -> Any:
    """A value that fits the schema, or would but for ``number`` and ``word``."""
    return Filler(schema, items, number, word).fill(schema)


def sound(schema: Json) -> Said:
    """The answer of a judge that works."""
    return Said(json.dumps(filled(schema)))


def _fenced(schema: Json) -> Said:
    return Said(f"Sure! Here is my verdict:\n```json\n{sound(schema).text}\n```\nHope this helps.")


def _duplicate(schema: Json) -> Said:
    text = sound(schema).text
    name = next(iter(json.loads(text)))
    return Said("{" + f"{json.dumps(name)}: {json.dumps('first')}, " + text[1:])


def _wrong_count(schema: Json) -> Said:
    """One list too long; extractions (lists of texts) stay as they are."""
    answer = filled(schema)
    for name, value in list(answer.items()):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            answer[name] = [*value, *value, *value]
        elif isinstance(value, list) and name == "questions":
            answer[name] = value * 3
    return Said(json.dumps(answer))


FAULTS: dict[str, Spoil] = {
    "prose": lambda schema: Said("I think the answer is quite good, I would give it 1 out of 1."),
    "fenced": _fenced,
    "truncated": lambda schema: Said(sound(schema).text[: len(sound(schema).text) // 2], finish="length"),
    "truncated unsaid": lambda schema: Said(sound(schema).text[: len(sound(schema).text) // 2]),
    "empty": lambda schema: Said(""),
    "empty lists": lambda schema: Said(json.dumps(filled(schema, items=0))),
    "empty object": lambda schema: Said("{}"),
    "refusal": lambda schema: Said("", refusal="I cannot help with that."),
    "out of range": lambda schema: Said(json.dumps(filled(schema, number=7, word="maybe"))),
    "wrong count": _wrong_count,
    "nan": lambda schema: Said(json.dumps(filled(schema, number=float("nan"), word="NaN"))),
    "429": lambda schema: Said(
        '{"error": {"message": "slow down"}}', status=429, headers={"retry-after": "0"}
    ),
    "500": lambda schema: Said('{"error": {"message": "oops"}}', status=500),
    "hang": lambda schema: Said("", hang_s=0.6),
    "injected": lambda schema: Said(json.dumps(filled(schema, number=10, word="10"))),
    "injected plain": lambda schema: Said('{"score": 10}'),
    "other language": lambda schema: Said(json.dumps(filled(schema, number="一", word="是"))),
    "duplicate keys": _duplicate,
}


class JudgeServer:
    """Answers ``/v1/chat/completions`` and ``/v1/embeddings``; ``spoil`` decides each answer."""

    def __init__(self) -> None:
        self.spoil: Spoil = sound
        self.requests: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.refuse_formats: tuple[str, ...] = ()
        self.delay_s = 0.0
        self.cost = "0.0001"
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, path: str, body: Json) -> tuple[int, Json, dict[str, str]]:
        if path.endswith("/embeddings"):
            data = [
                {"index": index, "embedding": [1.0, 0.5 * index, 0.0]}
                for index, _ in enumerate(body["input"])
            ]
            return 200, {"data": data, "usage": {"prompt_tokens": 7}}, {"x-spanledger-cost": "0.00001"}
        shape: Json = body.get("response_format") or {}
        if shape.get("type") in self.refuse_formats:
            return 400, {"error": {"message": f"response_format {shape['type']} is not supported"}}, {}
        said = self.spoil(_schema(body))
        time.sleep(self.delay_s + said.hang_s)
        if said.status != 200:
            return said.status, json.loads(said.text), said.headers
        message = {"role": "assistant", "content": said.text, "refusal": said.refusal}
        answer = {
            "choices": [{"index": 0, "message": message, "finish_reason": said.finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        return 200, answer, {"x-spanledger-cost": self.cost} if self.cost else {}


def _schema(body: Json) -> Json:
    shape: Json = body.get("response_format") or {}
    if shape.get("type") == "json_schema":
        return shape["json_schema"]["schema"]
    return json.loads(body["messages"][0]["content"].split("this JSON schema:\n", 1)[1])


@contextmanager
def serving() -> Generator[JudgeServer]:
    """A judge's server on a free loopback port."""
    judge = JudgeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            judge.requests.append(body)
            judge.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, answer, headers = judge.answer(self.path, body)
            raw = json.dumps(answer).encode()
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                self.close_connection = True  # the client gave up

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up is part of the test."""

        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    judge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
