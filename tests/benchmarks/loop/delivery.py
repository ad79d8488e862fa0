"""A webhook receiver that fails half of the time: every alert arrives, once for each dedup key."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.writes_evaluation import insert_events
from spanledger_workers.alerts import outbox as outbox_module
from spanledger_workers.alerts.channels import EVENT, Webhooks
from spanledger_workers.alerts.outbox import Outbox
from spanledger_workers.audit import event
from spanledger_workers.memory import connect_memory
from tests.benchmarks.report import Figure, at_most

ALERTS = 200
CHANNEL = "BENCH_LOOP_HOOK"


class Receiver:
    """What arrived, by dedup key and by event id."""

    def __init__(self, failing: float) -> None:
        self.failing = failing
        self.keys: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.asked = 0
        self.url = ""
        self._rng = random.Random(5)
        self._lock = threading.Lock()

    def take(self, event_id: str, body: bytes) -> int:
        """The status to answer with."""
        with self._lock:
            self.asked += 1
            if self._rng.random() < self.failing:
                return 503
            self.ids[event_id] += 1
            self.keys[json.loads(body)["dedup_key"]] += 1
            return 204


@contextmanager
def receiving(failing: float) -> Generator[Receiver]:
    """A receiver on a free port of loopback."""
    made = Receiver(failing)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(made.take(self.headers[EVENT], body))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def delivery(store: Client, redis_url: str, limit_s: float = 600) -> list[Figure]:
    """Tick the outbox every second until nothing is left to send; waits begin at one second instead of five."""
    outbox_module.FIRST_WAIT_S = 1
    now = time.time_ns()
    made = [
        event("alert", project="bench", subject=f"s{n}", time=now + n, title=f"a{n}", dedup_key=f"key-{n}")
        for n in range(ALERTS)
    ]
    insert_events(store, made)
    with receiving(0.5) as receiver:
        os.environ[CHANNEL] = receiver.url
        outbox = Outbox(
            store=store,
            redis=connect_memory(redis_url),
            default=[CHANNEL],
            webhooks=Webhooks(allow_private=True),
        )
        began = time.monotonic()
        while len(receiver.keys) < ALERTS and time.monotonic() - began < limit_s:
            outbox.tick([], time.time_ns())
            time.sleep(1)
        took = time.monotonic() - began
        outbox.tick([], time.time_ns())  # once more: nothing may come twice
    repeated = sum(count - 1 for count in receiver.keys.values())
    return [
        at_most(
            "alerts that did not arrive (of 200; the receiver fails half)",
            ALERTS - len(receiver.keys),
            0,
            digits=0,
        ),
        at_most("dedup keys that arrived twice", repeated, 0, digits=0),
        Figure("requests made, seconds taken", f"{receiver.asked}, {took:.0f}"),
    ]
