"""Scoring in the worker: with a judge through ragas, deepeval and our own formulas, and with a scorer that kills."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.evaluators.judges import serving
from tests.servers import Server, command, spawn
from tests.stores import Store

from .conftest import World

pytestmark = [pytest.mark.clickhouse, pytest.mark.broker]

POISON = """
import os
from spanledger_evaluators import scorer

@scorer(name="poison")
def poison(case):
    os.kill(os.getpid(), 9)

@scorer(name="broken")
def broken(case):
    raise RuntimeError("a bug in somebody's scorer")
"""


@pytest.fixture
def worker(store: Store, redis_url: str, tmp_path: Path) -> Iterator[Server]:
    """A worker that finds two scorers of somebody else's package."""
    (tmp_path / "guest.py").write_text(POISON)
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spanledger.scorers]\npoison = guest:poison\nbroken = guest:broken\n"
    )
    env = {
        "SPANLEDGER_CLICKHOUSE_URL": store.url,
        "SPANLEDGER_REDIS_URL": redis_url,
        "SPANLEDGER_HOME": str(tmp_path),
        "SPANLEDGER_WORKER_CONCURRENCY": "1",
        "SPANLEDGER_WORKER_PORT": "0",
        "PYTHONPATH": str(tmp_path),
    }
    with spawn(command("worker"), tmp_path / "worker.log", lambda: True, env) as server:
        yield server
        print(server.output()[-5000:])


def test_a_judge_scores_through_both_libraries_and_our_own_formula(world: World, worker: Server) -> None:
    scorers = ["faithfulness", "ragas.faithfulness", "deepeval.hallucination"]
    with serving() as judge:
        world.document("upstream", "judge", {"base_url": judge.url, "allow_private": True})
        rule = {"scorers": scorers, "judge": {"upstream": "judge", "model": "judge-1"}}
        world.document("evaluator", "judged", rule)
        world.rag_call(contexts=("The tower was built in 1889.", "It is made of iron."))
        query = "SELECT name, value, status, judge_id, cost FROM scores FINAL ORDER BY name"
        rows = world.await_rows(query, lambda found: len(found) >= 3, within_s=120)
        assert [row["name"] for row in rows] == sorted(scorers)
        assert {(row["status"], row["judge_id"]) for row in rows} == {("ok", "judge-1")}
        assert all(row["cost"] >= Decimal("0.0001") for row in rows)
        assert {headers["x-spanledger-purpose"] for headers in judge.headers} == {"eval"}


def test_a_job_that_kills_its_worker_is_tried_three_times_and_set_aside(world: World, worker: Server) -> None:
    world.document("evaluator", "deadly", {"scorers": ["poison"]})
    world.document("evaluator", "buggy", {"scorers": ["broken"]})
    world.document("evaluator", "fine", {"scorers": ["groundedness"]})
    world.rag_call()
    letters = world.await_rows(
        "SELECT reason, message FROM dead_letters", lambda found: len(found) == 1, within_s=90
    )
    assert letters[0]["reason"] == "poison"
    jobs = world.await_rows(
        "SELECT evaluator, state, attempts FROM eval_jobs FINAL ORDER BY evaluator",
        lambda found: [row["state"] for row in found] == ["done", "dead", "done"],
    )
    assert jobs[1]["attempts"] == 3
    scores = world.rows("SELECT name, status FROM scores FINAL ORDER BY name")
    assert scores == [{"name": "broken", "status": "judge_error"}, {"name": "groundedness", "status": "ok"}]
    alerts = world.rows("SELECT title FROM events WHERE kind = 'alert'")
    assert len(alerts) == 1
    assert "set aside" in alerts[0]["title"]


def test_a_rule_that_cannot_be_followed_is_told_once_and_not_in_silence(world: World, worker: Server) -> None:
    world.document("evaluator", "odd", {"scorers": ["no_such_scorer"]})
    world.rag_call()
    world.rag_call()
    done = "SELECT state, reason FROM eval_jobs FINAL"
    jobs = world.await_rows(done, lambda found: [row["state"] for row in found] == ["skipped"] * 2)
    assert "no_such_scorer" in jobs[0]["reason"]
    alerts = world.rows("SELECT DISTINCT event_id, message FROM events WHERE kind = 'alert'")
    assert len(alerts) == 1
