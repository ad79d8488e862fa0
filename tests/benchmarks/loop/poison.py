"""A task that kills its worker: how often it is tried, and what becomes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from tests.benchmarks.loop.chaos import calls, insert
from tests.benchmarks.report import Figure
from tests.servers import command, spawn

GUEST = """
import os
from spanledger_evaluators import scorer

@scorer(name="poison")
def poison(case):
    with open(__file__ + ".tries", "a") as tries:
        tries.write("x")
    os.kill(os.getpid(), 9)
"""


def poison(store: Client, url: str, redis_url: str, folder: Path) -> list[Figure]:
    """One call, one poisonous scorer, one worker."""
    (folder / "guest.py").write_text(GUEST)
    info = folder / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spanledger.scorers]\npoison = guest:poison\n")
    Registry(store).put(
        "bench", Draft(kind="evaluator", name="deadly", document={"scorers": ["poison"]}), "bench"
    )
    insert(store, calls(1, 1))
    env = {
        "SPANLEDGER_CLICKHOUSE_URL": url, "SPANLEDGER_REDIS_URL": redis_url, "SPANLEDGER_HOME": str(folder),
        "SPANLEDGER_WORKER_CONCURRENCY": "1", "SPANLEDGER_WORKER_PORT": "0", "PYTHONPATH": str(folder),
    }  # fmt: skip
    with spawn(command("worker"), folder / "worker.log", lambda: True, env):
        deadline = time.monotonic() + 120
        while not _rows(store, "SELECT 1 FROM dead_letters") and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(10)  # it must not go round again
    letters = _rows(store, "SELECT reason FROM dead_letters")
    alerts = _rows(store, "SELECT title FROM events FINAL WHERE kind = 'alert'")
    tries = len((folder / "guest.py.tries").read_text())
    return [
        Figure("poison task: tries", str(tries), "3", tries == 3),
        Figure(
            "dead letters, alerts",
            f"{len(letters)}, {len(alerts)}",
            "1, 1",
            (len(letters), len(alerts)) == (1, 1),
        ),
    ]


def _rows(store: Client, query: str) -> list[dict[str, Any]]:
    return list(store.query(query).named_results())
