"""Regression runs: due by schedule and by change, compared with the last that passed, told once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from spanledger.testing.model_server import ModelServer
from spanledger_collector.store.reads.evaluation import LastState
from spanledger_collector.store.registry.evaluation import Regression
from spanledger_collector.store.registry.plan import Version
from spanledger_workers.app import app
from spanledger_workers.clock import DAY, HOUR
from spanledger_workers.memory import connect_memory
from spanledger_workers.process import Process
from spanledger_workers.regressions.due import depends_on, due
from spanledger_workers.settings import WorkerSettings
from spanledger_workers.tasks import regressing
from tests.stores import Store

from .conftest import World

CASES = [
    {"id": f"case-{n}", "question": f"Which number is it? ({n})", "reference": f"It is {n}."}
    for n in range(12)
]
DOCUMENT = {"dataset": "numbers", "route": "answers", "scorers": ["token_f1"], "prompt": "ask", "margin": 0.3}


def version(kind: str, name: str, number: int, document: dict[str, Any]) -> Version:
    return Version(
        project="p",
        kind=kind,
        name=name,
        version=number,
        document=document,
        deleted=False,
        author="",
        time=0,
        note="",
    )


def verdict(**evidence: Any) -> LastState:
    return LastState(
        subject="r",
        dedup_key="regression:r",
        state="pass",
        event_id="e",
        time=0,
        message="",
        evidence=json.dumps(evidence),
    )


def test_a_run_depends_on_all_that_answers_and_a_label_stands_for_one_version() -> None:
    rows = [
        version("route", "answers", 3, {"targets": [{"upstream": "u", "model": "m"}]}),
        version("upstream", "u", 2, {}),
        version("dataset", "numbers", 1, {}),
        version("prompt", "ask", 7, {"labels": {"production": 4}}),
    ]
    current = {(row.kind, row.name): row for row in rows}
    expected = {"route answers": 3, "upstream u": 2, "dataset numbers": 1, "prompt ask": 4}
    assert depends_on(Regression.model_validate(DOCUMENT), current) == expected
    pinned = Regression.model_validate({**DOCUMENT, "prompt": "ask@6"})
    assert depends_on(pinned, current)["prompt ask"] == 6


def test_it_is_due_once_a_night_and_after_each_change() -> None:
    row, document = version("regression", "r", 1, DOCUMENT), Regression.model_validate(DOCUMENT)
    night = 20_000 * DAY + 2 * HOUR
    first = due("p", row, document, {"route answers": 1}, None, night)
    assert first is not None
    told = verdict(depends=first.depends, period=first.period)
    assert due("p", row, document, {"route answers": 1}, told, night + 23 * HOUR) is None
    again = due("p", row, document, {"route answers": 1}, told, night + DAY)
    changed = due("p", row, document, {"route answers": 2}, told, night + HOUR)
    assert again is not None
    assert changed is not None
    assert (again.why, changed.why) == ("scheduled", "changed: route answers")
    assert len({first.run_id, again.run_id, changed.run_id}) == 3
    still = Regression.model_validate({**DOCUMENT, "on_change": False, "every": "none"})
    assert due("p", row, still, {"route answers": 2}, told, night + 9 * DAY) is None


def sent() -> int:
    did = regressing.regressions()
    assert did is not None
    return did["sent"]


@pytest.fixture
def process(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    made = Process(WorkerSettings(clickhouse_url=store.url, redis_url=redis_url))
    monkeypatch.setattr(regressing, "process", made)
    app.conf.update(task_always_eager=True)
    yield made
    app.conf.update(task_always_eager=False)
    made.runner.close()
    made.store.close()


@pytest.mark.clickhouse
@pytest.mark.broker
def test_a_new_prompt_that_answers_worse_is_found_told_and_over_when_it_is_taken_back(
    world: World, process: Process, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_workers.regressions.running.SLICE_S", 0.0)
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", "http://127.0.0.1:1")
    right = {f"({n})": f"It is {n}." for n in range(12)}

    async def release(*_: object) -> None:
        return None

    monkeypatch.setattr(regressing, "prompt_release", release)  # the collector that holds it is not running
    with ModelServer() as server:
        monkeypatch.setenv("SPANLEDGER_GATEWAY_URL", server.base_url)
        server.set(answer=right)
        world.document("upstream", "u", {"base_url": server.base_url})
        world.document("route", "answers", {"targets": [{"upstream": "u", "model": "gpt-4o"}]})
        world.document("dataset", "numbers", {"cases": CASES})
        world.document("prompt", "ask", {"template": "Say: {{question}}"})
        world.document("regression", "nightly", DOCUMENT)
        assert regressing.regressions() == {"regressions": 1, "sent": 1}
        assert regressing.regressions() == {"regressions": 1, "sent": 0}
        server.set(answer="I would not know.")
        world.document("prompt", "ask", {"template": "Guess: {{question}}"})
        assert sent() == 1
        server.set(answer=right)
        world.document("prompt", "ask", {"template": "Say: {{question}}", "labels": {"production": 1}})
        assert sent() == 1
    gates = world.rows(
        "SELECT state, message, evidence FROM events FINAL WHERE kind = 'gate' ORDER BY events.time"
    )
    assert [row["state"] for row in gates] == ["baseline", "regression", "pass"]
    assert "token_f1 1.000 -> 0." in gates[1]["message"]
    assert "changed: prompt ask" in gates[1]["message"]
    runs = [json.loads(row["evidence"]) for row in gates]
    assert runs[1]["base"] == runs[0]["run_id"]
    assert runs[2]["base"] == runs[2]["run_id"]
    alerts = world.rows("SELECT state FROM events FINAL WHERE kind = 'alert' ORDER BY events.time")
    assert [row["state"] for row in alerts] == ["firing", "resolved"]
    kept = world.rows("SELECT run_id, count() AS n FROM regression_rows FINAL GROUP BY run_id")
    assert [row["n"] for row in kept] == [12, 12, 12]
    assert connect_memory(redis_url).get("spanledger:regression:shop:nightly") is None


@pytest.mark.clickhouse
@pytest.mark.broker
def test_a_run_that_cannot_be_made_is_said_once(world: World, process: Process) -> None:
    world.document("upstream", "u", {"base_url": "http://127.0.0.1:1/v1"})
    world.document("route", "answers", {"targets": [{"upstream": "u", "model": "gpt-4o"}]})
    world.document("dataset", "numbers", {"cases": CASES[:1]})
    world.document(
        "regression", "nightly", {"dataset": "numbers", "route": "answers", "scorers": ["exact_match"]}
    )
    regressing.regressions()
    time.sleep(0.01)
    assert sent() == 0
    rows = world.rows(
        "SELECT kind, state, message FROM events FINAL WHERE kind IN ('alert', 'gate') ORDER BY kind"
    )
    assert [(row["kind"], row["state"]) for row in rows] == [("alert", "firing"), ("gate", "failed")]
    assert "fewer than two cases" in rows[0]["message"]
