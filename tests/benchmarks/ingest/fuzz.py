"""Mutated requests: whatever comes in, the answer is one of OTLP's, nothing falls over and memory stays flat."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import time
from collections.abc import Callable

from google.protobuf.json_format import MessageToDict, MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_collector.ingest.dialects import DIALECTS
from tests.benchmarks.ingest.payload import batch
from tests.benchmarks.ingest.stack import Stack, post
from tests.benchmarks.process import rss_bytes
from tests.benchmarks.report import Figure, at_most
from tests.otlp import SpanData, request

_NAMES = sorted({name for dialect in DIALECTS for name in dialect.fields})
_EVENTS = ["exception", "gen_ai.choice", "gen_ai.evaluation.result", "First Token Stream Event", "x"]
_JSONS = [
    "{}", "[]", "null", "[null]", '[{"role":1}]', '{"usage":{"prompt_tokens":-1}}', '{"input":"x","total":[]}', '"q"', "[[[[]]]]",
    '[{"role":"user","content":[{"type":"image_url"}]}]', '{"choices":[{}]}', "9" * 40, '{"id":{},"usage":{"x":1}}',
]  # fmt: skip
_TOKENS = [
    b"null",
    b"{}",
    b"[]",
    b"1e999",
    b"-1",
    b'""',
    b"18446744073709551616",
    b"true",
    b'"\\ud800"',
    b"NaN",
]


def fuzz(stack: Stack, count: int, seed: int = 3) -> list[Figure]:
    """Send ``count`` mutated bodies, binary and JSON by turns."""
    assert stack.collector is not None
    pid = stack.collector.process.pid
    dice = random.Random(seed)
    binary = [batch(number, spans=2).body for number in range(20)]
    texts = [MessageToJson(ExportTraceServiceRequest.FromString(body)).encode() for body in binary]
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    statuses: dict[int, int] = {}
    settled = 0
    for number in range(count):
        is_json = number % 2 == 1
        # Half are broken anywhere; half are sound OTLP whose attributes hold what nobody expects.
        broken = dice.random() < 0.5
        content = (
            mutated(dice, dice.choice(texts if is_json else binary), is_json)
            if broken
            else strange(dice, is_json)
        )
        kind = "application/json" if is_json else "application/x-protobuf"
        encoding = "gzip" if dice.random() < 0.5 else "identity"
        sent = gzip.compress(content, 1) if encoding == "gzip" else content
        if broken and dice.random() < 0.1:
            sent = mutated(dice, sent, False)
        status = post(connection, sent, content_type=kind, content_encoding=encoding)
        statuses[status] = statuses.get(status, 0) + 1
        if number == count // 4:
            settled = rss_bytes(pid)
    stack.settle()
    grown = (rss_bytes(pid) - settled) / 1024**2
    failed = sum(n for status, n in statuses.items() if status >= 500)
    faults = stack.rows(
        "SELECT reason, any(message) AS message, count() AS n FROM dead_letters GROUP BY reason"
    )
    alive = stack.collector.process.poll() is None
    return [
        Figure(f"fuzz, {count} bodies: 5xx", str(failed), "0", failed == 0),
        Figure("fuzz: spans set aside", str(faults), "[]", not faults),
        Figure("fuzz: statuses", str(dict(sorted(statuses.items())))),
        Figure("fuzz: collector alive", str(alive), "True", alive),
        at_most("fuzz: memory grown after the first quarter", grown, 60, " MiB", 0),
    ]


def strange(dice: random.Random, is_json: bool) -> bytes:
    """A sound request: known names with values of any type and any text, ids and times of any value."""
    spans = [
        SpanData(
            name=_text(dice),
            attributes={dice.choice(_NAMES): _value(dice, 3) for _ in range(dice.randrange(12))},
            events=[(dice.choice(_EVENTS), {dice.choice(_NAMES): _value(dice, 2)}) for _ in range(dice.randrange(3))],
            kind=dice.randrange(6), status=dice.randrange(3), message=_text(dice),
            start=dice.choice([0, 1, 2**62, time.time_ns(), time.time_ns() - 86_400 * 10**9 * dice.randrange(3000)]),
            duration_ns=dice.choice([0, 1, 10**9, 2**60]),
            parent_span_id=dice.choice([b"", bytes(8), dice.randbytes(8), dice.randbytes(3)]),
        )
        for _ in range(dice.randrange(1, 5))
    ]  # fmt: skip
    sent = request(spans)
    if not is_json:
        return sent.SerializeToString()
    data = MessageToDict(sent, use_integers_for_enums=True)
    for group in data["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for told, span in zip(scope["spans"], spans, strict=True):
                told["traceId"], told["spanId"] = span.trace_id.hex(), span.span_id.hex()
                told["parentSpanId"] = span.parent_span_id.hex()
    return json.dumps(data).encode()


def _text(dice: random.Random) -> str:
    return "".join(
        chr(dice.choice([dice.randrange(32, 127), dice.randrange(0xD7FF), 0x1F600, 0]))
        for _ in range(dice.randrange(20))
    )


def _value(dice: random.Random, depth: int) -> object:
    kinds: list[Callable[[], object]] = [
        lambda: _text(dice),
        lambda: dice.choice(_JSONS),
        lambda: dice.choice([0, -1, 2**63 - 1, -(2**63), 5]),
        lambda: dice.choice([0.5, float("nan"), float("inf"), -1e308]),
        lambda: dice.random() < 0.5,
        lambda: dice.randbytes(5),
    ]
    if depth:
        kinds.append(lambda: [_value(dice, depth - 1) for _ in range(3)])
        kinds.append(lambda: {_text(dice): _value(dice, depth - 1) for _ in range(2)})
    return dice.choice(kinds)()


def mutated(dice: random.Random, content: bytes, is_json: bool) -> bytes:
    """A few random changes: bytes flipped, pieces cut, doubled or moved, JSON values replaced."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data) + 1)
        size = min(dice.choice([1, 1, 2, 8, 64]), len(data) - at)
        choice = dice.randrange(6)
        if choice == 0 and size:
            data[at] ^= 1 << dice.randrange(8)
        elif choice == 1:
            del data[at : at + size]
        elif choice == 2:
            data[at:at] = data[at : at + size]
        elif choice == 3:
            data[at:at] = dice.randbytes(size)
        elif choice == 4:
            del data[at:]
        elif is_json:
            data[at : at + size] = dice.choice(_TOKENS)
    return bytes(data)
