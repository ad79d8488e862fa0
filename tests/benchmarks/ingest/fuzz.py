"""Mutated requests: whatever comes in, the answer is one of OTLP's, nothing falls over and memory stays flat."""

from __future__ import annotations

import gzip
import http.client
import random

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.ingest.payload import batch
from tests.benchmarks.ingest.stack import Stack, post
from tests.benchmarks.process import rss_bytes
from tests.benchmarks.report import Figure, at_most

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
        content = mutated(dice, dice.choice(texts if is_json else binary), is_json)
        kind = "application/json" if is_json else "application/x-protobuf"
        encoding = "gzip" if dice.random() < 0.5 else "identity"
        sent = gzip.compress(content, 1) if encoding == "gzip" else content
        if dice.random() < 0.1:
            sent = mutated(dice, sent, False)
        status = post(connection, sent, content_type=kind, content_encoding=encoding)
        statuses[status] = statuses.get(status, 0) + 1
        if number == count // 4:
            settled = rss_bytes(pid)
    stack.settle()
    grown = (rss_bytes(pid) - settled) / 1024**2
    broken = sum(n for status, n in statuses.items() if status >= 500)
    alive = stack.collector.process.poll() is None
    return [
        Figure(f"fuzz, {count} bodies: 5xx", str(broken), "0", broken == 0),
        Figure("fuzz: statuses", str(dict(sorted(statuses.items())))),
        Figure("fuzz: collector alive", str(alive), "True", alive),
        at_most("fuzz: memory grown after the first quarter", grown, 60, " MiB", 0),
    ]


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
