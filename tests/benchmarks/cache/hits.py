"""The rows about hits: what an exact one adds to a bare proxy call, and how long one in other words takes."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import redis

from spanledger.serving.semantic import Certificate, Question, Row, Tier, embedder, group
from spanledger.serving.snapshot import CacheRule, SemanticRule, Snapshot
from tests.benchmarks.gateway.rig import (
    KEY,
    MODEL,
    MissingToolError,
    gateway,
    nginx,
    reverse_proxy,
    snapshot,
    static_upstream,
    tool,
)
from tests.benchmarks.report import Figure, at_most
from tests.servers import free_port, valkey

ROUNDS, CALLS = 15, 100
QUESTIONS = 300
_ASKED = "How do I return a {} that I bought last week in your shop in {} without having kept the receipt?"
_AGAIN = "How can I return the {} that I bought last week in your shop in {} without having kept the receipt?"
_THINGS = [
    "lamp",
    "chair",
    "table",
    "sofa",
    "mirror",
    "carpet",
    "kettle",
    "toaster",
    "blender",
    "curtain",
    "pillow",
    "blanket",
    "wardrobe",
    "desk",
    "shelf",
]
_CITIES = [
    "Berlin",
    "Paris",
    "Rome",
    "Madrid",
    "Vienna",
    "Oslo",
    "Dublin",
    "Lisbon",
    "Prague",
    "Athens",
    "Warsaw",
    "Zagreb",
    "Riga",
    "Tallinn",
    "Sofia",
    "Bern",
    "Ghent",
    "Malmo",
    "Porto",
    "Turin",
]


def figures() -> list[Figure]:
    """All rows."""
    with tempfile.TemporaryDirectory() as made, valkey(Path(made)) as redis_url:
        return [*_exact(Path(made), redis_url), *_semantic(), *_through_the_gateway(Path(made), redis_url)]


class Caller:
    """One kept-alive connection; times of whole calls in ms."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, question: str) -> tuple[float, str]:
        """Milliseconds, and the cache's state."""
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        started = time.perf_counter()
        self._connection.request("POST", "/v1/chat/completions", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        took = (time.perf_counter() - started) * 1e3
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        return took, answer.getheader("x-spanledger-cache") or ""


def _exact(folder: Path, redis_url: str) -> list[Figure]:
    """Hits in turn with calls through nginx as a reverse proxy to a static answer."""
    try:
        tool("nginx")
    except MissingToolError as missing:
        print(f"skipped: exact hits beside a bare proxy, because {missing}")
        return []
    up, passing = free_port(), free_port()
    with (
        nginx(folder, "upstream", static_upstream(up), up),
        nginx(folder, "proxy", reverse_proxy(passing, up), passing),
        gateway(folder, redis_url, snapshot(up)) as (_, port),
    ):
        hit, bare = Caller(port), Caller(passing)
        while hit.ask("What is kept?")[1] != "exact":
            time.sleep(0.05)
        added: list[float] = []
        for _ in range(ROUNDS):
            ours = statistics.median(hit.ask("What is kept?")[0] for _ in range(CALLS))
            theirs = statistics.median(bare.ask("What is kept?")[0] for _ in range(CALLS))
            added.append(ours - theirs)
    return [at_most("exact hit, added to a bare proxy call, p50", statistics.median(added), 0.5, " ms")]


def _pairs() -> list[tuple[str, str]]:
    places = [(thing, city) for city in _CITIES for thing in _THINGS]
    return [(_ASKED.format(*place), _AGAIN.format(*place)) for place in places[:QUESTIONS]]


def _semantic() -> list[Figure]:
    """Embedding, search, guards and decision of a 20-word question, in one thread."""
    minilm = embedder.local()
    tier = Tier("bench", MODEL, SemanticRule())
    tier.certificate = Certificate(state="open", threshold=0.85, group=tier.group)
    pairs = _pairs()
    for number, (asked, _) in enumerate(pairs):
        vector = minilm.embed(asked, 64)
        assert vector is not None
        name = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"
        tier.remember(Row(name, "0" * 32, asked, time.time() + 600), vector)
    wall: list[float] = []
    cpu: list[float] = []
    hits = 0
    for _, again in pairs:
        started, used = time.perf_counter(), time.process_time()
        hits += tier.ask(Question(again, "0" * 32), minilm, time.time()).decision.outcome == "hit"
        wall.append((time.perf_counter() - started) * 1e3)
        cpu.append((time.process_time() - used) * 1e3)
    return [
        at_most("semantic hit of 20 words, one core, p50", float(np.percentile(wall, 50)), 8, " ms"),
        at_most("semantic hit of 20 words, one core, p99", float(np.percentile(wall, 99)), 20, " ms"),
        Figure("of it CPU, p50", f"{np.percentile(cpu, 50):.2f} ms"),
        Figure("asked in other words and hit", f"{hits} of {len(pairs)}"),
    ]


def _with_meaning(given: Snapshot) -> Snapshot:
    project = given.projects["bench"]
    route = replace(project.routes[MODEL], cache=CacheRule(semantic=SemanticRule(audit_share=1e-9)))
    return replace(
        given,
        version=f"{given.version}-semantic",
        projects={"bench": replace(project, routes={MODEL: route})},
    )


def _through_the_gateway(folder: Path, redis_url: str) -> list[Figure]:
    """The same through a gateway, from the caller's request to its answer."""
    try:
        tool("nginx")
    except MissingToolError:
        return []
    up = free_port()
    client: Any = redis.Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    with (
        nginx(folder, "semantic", static_upstream(up), up),
        gateway(folder, redis_url, _with_meaning(snapshot(up))) as (_, port),
    ):
        caller = Caller(port)
        for number, (asked, _) in enumerate(_pairs(), 1):
            caller.ask(asked)
            # Questions that come faster than they are embedded are left out beyond a bound.
            wanted = number if number % 20 == 0 else 0
            _until(lambda wanted=wanted: client.zcard(f"spanledger:cache-used:bench:{MODEL}") >= wanted)
        fields = {"state": "open", "threshold": 0.85, "group": group("bench", MODEL, embedder.LOCAL)}
        client.hset(f"spanledger:semantic:bench:{MODEL}", mapping=fields)
        client.publish("spanledger:changes", '{"kind": "cache"}')
        time.sleep(2.5)  # obeyed within 2 s
        answers = [caller.ask(again) for _, again in _pairs()]
    times = [took for took, state in answers if state == "semantic"]
    return [
        Figure("semantic hit through the gateway, p50", f"{np.percentile(times or [0], 50):.2f} ms"),
        Figure("semantic hits through the gateway", f"{len(times)} of {len(answers)}"),
    ]


def _until(happens: Any) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        if time.monotonic() > deadline:
            raise RuntimeError("the gateway kept too few answers")
        time.sleep(0.05)
