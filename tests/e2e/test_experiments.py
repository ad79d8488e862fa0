"""From marked calls to a dataset, two versions of a prompt over it, and the page that says which is worse."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spanledger.testing.model_server import ModelServer
from spanledger_collector.store.reads import experiments
from spanledger_collector.store.reads.window import Window
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
SOURCE = "The ferry crosses to Lindholm in twelve minutes and leaves the old quay every quarter of an hour."
APPLICATION = f"""
import openai, os, spanledger
spanledger.init()
client = spanledger.wrap(openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="any"))
for number in range(6):
    with spanledger.span("answer"):
        with spanledger.span("retrieve", operation="retrieval") as found:
            found.update(documents=[{{"id": "ferry", "content": {SOURCE!r}}}])
        spanledger.score("dataset", "ferry", comment="Twelve minutes.")
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{{"role": "user", "content": f"Question {{number}}: how long?"}}])
"""


def test_two_prompt_versions_are_compared_over_marked_calls(
    stack: Stack, primary: ModelServer, tmp_path: Path
) -> None:
    primary.set(answer="The ferry crosses to Lindholm in twelve minutes.", models=["gpt-4o-mini"])
    environment = {**os.environ, **stack.environment(), "MODEL_URL": primary.base_url}
    environment["SPANLEDGER_GATEWAY_URL"] = f"{stack.url('gateway')}/v1"

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def evaluate(*words: str, code: int = 0) -> str:
        return run("-m", "spanledger", "eval", *words, code=code)

    began = time.time_ns()
    run("-c", APPLICATION)
    stack.rows_until(6, "SELECT 1 FROM scores FINAL WHERE name = 'dataset' AND label = 'ferry'")
    told = evaluate(
        "dataset", "marked", "ferry", "--name", "ferry", "--split", "dev=0.5", "--split", "test=0.5"
    )
    assert "6 cases, stored as dataset:ferry@1" in told
    again = evaluate(
        "dataset", "marked", "ferry", "--name", "ferry", "--split", "dev=0.5", "--split", "test=0.5"
    )
    assert "ferry@1" in again  # the same cases are no new version

    stack.apply(
        (
            "upstream",
            "experiments-up",
            {"base_url": primary.base_url, "protocol": "openai", "allow_private": True},
        ),
        ("route", "ferries", {"targets": [{"upstream": "experiments-up", "model": "gpt-4o-mini"}]}),
        (
            "prompt",
            "ferry",
            {"template": "From {{contexts}} answer: {{question}}", "labels": {"production": 1}},
        ),
    )
    stack.apply(
        ("prompt", "ferry", {"template": "Be brief. {{contexts}} {{question}}", "labels": {"production": 1}})
    )
    words = ("run", "dataset:ferry@1", "--scorers", "groundedness", "--route", "ferries")
    evaluate(*words, "--prompt", "ferry@production", "--name", "old", "--out", "old.jsonl")
    primary.set(
        answer="Helicopters reach Stockholm overnight with complimentary champagne.", models=["gpt-4o-mini"]
    )
    evaluate(*words, "--prompt", "ferry@2", "--name", "new", "--out", "new.jsonl")
    assert "REGRESSION" in evaluate("compare", "old.jsonl", "new.jsonl", code=1)

    stack.rows_until(12, "SELECT 1 FROM scores FINAL WHERE name = 'groundedness' AND source = 'eval'")
    stack.rows_until(12, "SELECT 1 FROM spans WHERE experiment != '' AND billable")
    window = Window(began, time.time_ns() + 10**9)
    found = {one.experiment: one for one in experiments.runs(stack.store, "default", window)}
    assert {name: (one.cases, one.failed, one.calls) for name, one in found.items()} == {
        "old": (6, 0, 6),
        "new": (6, 0, 6),
    }
    assert (found["old"].prompts, found["new"].prompts) == (["ferry@1"], ["ferry@2"])
    assert found["old"].dataset == found["new"].dataset
    (compared,) = experiments.compared(stack.store, "default", window, "old", "new")
    assert (compared.name, compared.n, compared.clusters, compared.lower) == ("groundedness", 6, 6, 6)
    assert compared.measured_before == compared.measured_after
    assert compared.difference < -0.5
    calls = stack.rows(
        "SELECT purpose, hex(parent_span_id) != '' AS below FROM spans WHERE experiment = 'new' AND billable"
    )
    assert {(row["purpose"], bool(row["below"])) for row in calls} == {("eval", True)}

    evaluate("push", "old.jsonl", "dataset:ferry@1")  # a run stored again changes nothing
    rows = stack.rows("SELECT count() AS n FROM spans WHERE experiment = 'old' AND name = 'experiment case'")
    assert rows[0]["n"] == 6
