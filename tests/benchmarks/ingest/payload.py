"""A number in; OTLP requests of synthetic RAG calls out: 4.5 KB and 28 attributes a span."""

from __future__ import annotations

import os
import random
import struct
import time
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.otlp import SpanData, body

_WORDS = [
    "retrieval", "answer", "customer", "invoice", "policy", "refund", "shipping", "warranty", "contract", "ticket",
    "agent", "context", "document", "section", "clause", "payment", "account", "delivery", "schedule", "support",
]  # fmt: skip
_DICE = random.Random(7)


def _text(dice: random.Random, size: int) -> str:
    words: list[str] = []
    left = size
    while left > 0:
        word = dice.choice(_WORDS) if dice.random() < 0.7 else f"{dice.randrange(16**5):x}"
        words.append(word)
        left -= len(word) + 1
    return " ".join(words)


_SYSTEMS = [_text(_DICE, 500) for _ in range(40)]
_CHUNKS = [_text(_DICE, 620) for _ in range(4000)]


@dataclass(frozen=True)
class Batch:
    """One request and what it holds."""

    body: bytes
    keys: tuple[tuple[bytes, bytes], ...]


def batch(number: int, spans: int = 100, per_trace: int = 6) -> Batch:
    """Request ``number``: ``spans`` model calls, ``per_trace`` of them in one trace, ending now."""
    dice = random.Random(number)
    now = time.time_ns()
    made: list[SpanData] = []
    trace = os.urandom(16)
    for index in range(spans):
        if index % per_trace == 0:
            trace = os.urandom(16)
        made.append(_span(dice, trace, now))
    content = body(*made, resource={"service.name": "shop", "service.version": "1.2", "host.name": "h1"})
    return Batch(content, tuple((span.trace_id, span.span_id) for span in made))


def _span(dice: random.Random, trace: bytes, now: int) -> SpanData:
    duration = dice.randrange(200_000_000, 3_000_000_000)
    system, chunks = dice.choice(_SYSTEMS), dice.sample(_CHUNKS, 4)
    question = f"{' '.join(chunks)} {_text(dice, 60)}"
    attributes: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": f"chatcmpl-{dice.getrandbits(96):024x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.usage.input_tokens": dice.randrange(600, 1200),
        "gen_ai.usage.output_tokens": dice.randrange(20, 300),
        "gen_ai.usage.cache_read.input_tokens": dice.randrange(0, 500),
        "gen_ai.input.messages": _messages(("system", system), ("user", question)),
        "gen_ai.output.messages": _messages(("assistant", _text(dice, 420))),
        "user.id": f"user-{dice.randrange(5000)}",
        "session.id": f"session-{dice.randrange(20000)}",
        "server.address": "api.openai.com",
        "spanledger.team": f"team-{dice.randrange(8)}",
        "spanledger.feature": "rag",
        **{f"app.attribute.{n}": f"value {dice.randrange(6)}" for n in range(10)},
    }
    return SpanData(
        name="chat gpt-4o", attributes=attributes, trace_id=trace, parent_span_id=dice.randbytes(8),
        start=now - duration, duration_ns=duration,
    )  # fmt: skip


def _messages(*pairs: tuple[str, str]) -> str:
    return "[" + ",".join(f'{{"role":"{role}","content":"{text}"}}' for role, text in pairs) + "]"


class Template:
    """A request that is made new by writing other ids and times into its bytes: a thousandth of making one."""

    def __init__(self, number: int, spans: int = 100) -> None:
        made = batch(number, spans)
        self._body = bytearray(made.body)
        self._traces: dict[bytes, list[int]] = {}
        self._spans: list[int] = []
        self._times: list[tuple[int, int]] = []
        self._answers: list[int] = []
        message = ExportTraceServiceRequest.FromString(made.body)
        at = 0
        for span in message.resource_spans[0].scope_spans[0].spans:
            at = made.body.index(span.span_id, at)
            self._spans.append(at)
            self._traces.setdefault(span.trace_id, []).append(at - 18)  # the trace id field stands before it
            start = struct.pack("<Q", span.start_time_unix_nano)
            place = made.body.index(start, at)
            self._times.append((place, span.end_time_unix_nano - span.start_time_unix_nano))
            answer = next(pair for pair in span.attributes if pair.key == "gen_ai.response.id")
            self._answers.append(made.body.index(answer.value.string_value.encode(), place) + 9)
            at = place

    def fresh(self) -> bytes:
        """The request with new trace, span and response ids, its calls ending now."""
        body, now = self._body, time.time_ns()
        for places in self._traces.values():
            trace = os.urandom(16)
            for at in places:
                body[at : at + 16] = trace
        for at, (place, duration), answer in zip(self._spans, self._times, self._answers, strict=True):
            body[at : at + 8] = os.urandom(8)
            body[place : place + 8] = struct.pack("<Q", now - duration)
            body[place + 9 : place + 17] = struct.pack("<Q", now)
            body[answer : answer + 12] = os.urandom(6).hex().encode()
        return bytes(body)
