"""A worker as a process: it drains, comes back part by part, and says on /metrics what it does."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, answers, command, free_port, spawn
from tests.stores import Store

from .conftest import World

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]
SLOW = """
import time
from spanledger_evaluators import scorer

@scorer(name="slow")
def slow(case):
    open(__file__ + ".began", "a").close()
    time.sleep(4)
    return 1.0
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(store: Store, redis_url: str, tmp_path: Path, port: int) -> Iterator[Server]:
    (tmp_path / "guest.py").write_text(SLOW)
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spanledger.scorers]\nslow = guest:slow\n")
    env = {
        "SPANLEDGER_CLICKHOUSE_URL": store.url,
        "SPANLEDGER_REDIS_URL": redis_url,
        "SPANLEDGER_HOME": str(tmp_path),
        "SPANLEDGER_WORKER_CONCURRENCY": "1",
        "SPANLEDGER_WORKER_PORT": str(port),
        "PYTHONPATH": str(tmp_path),
    }
    health = answers(f"http://127.0.0.1:{port}/metrics")
    with spawn(command("worker"), tmp_path / "worker.log", health, env) as server:
        yield server
        print(server.output()[-5000:])


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(condition: object, what: str, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not (callable(condition) and condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_running_task_ends_before_the_worker_does_and_nothing_new_begins(
    world: World, worker: Server, tmp_path: Path
) -> None:
    world.document("evaluator", "patient", {"scorers": ["slow"]})
    world.rag_call()
    until((tmp_path / "guest.py.began").exists, "the scorer did not begin")
    assert worker.stop(60) == 0
    scores = world.rows("SELECT value FROM scores FINAL")
    assert scores == [{"value": 1.0}]
    assert world.rows("SELECT state FROM eval_jobs FINAL") == [{"state": "done"}]


def test_each_part_of_a_worker_that_is_killed_comes_back_and_metrics_tell_what_it_does(
    world: World, worker: Server, port: int
) -> None:
    world.document("evaluator", "grounded", {"scorers": ["groundedness"]})
    before = set(children(worker.process.pid))
    assert len(before) == 4  # two lanes, beat, /metrics
    for child in before:
        os.kill(child, signal.SIGKILL)
    until(lambda: len(set(children(worker.process.pid)) - before) == 4, "not all came back")
    world.rag_call()
    world.await_rows("SELECT value FROM scores FINAL", lambda found: len(found) == 1)
    seen = ""

    def told() -> bool:
        nonlocal seen
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                seen = answer.read().decode()
        except OSError:
            return False
        return 'spanledger_worker_scores_total{name="groundedness",status="ok"} 1.0' in seen

    until(told, "the score is not on /metrics")
    for name in (
        'spanledger_worker_queue_depth{queue="eval.llm"}',
        "spanledger_worker_messages_unacked",
        'spanledger_worker_tasks_total{outcome="ok",task="plan"}',
        'spanledger_worker_task_seconds_count{task="score"}',
        'spanledger_worker_jobs_planned_total{evaluator="grounded"} 1.0',
    ):
        assert name in seen, name
