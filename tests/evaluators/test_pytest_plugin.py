"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from spanledger_evaluators.runs import load

TEST = """
import dataclasses
import pytest

@pytest.mark.spanledger_eval(dataset="cases.jsonl")
def test_answers(case, spanledger_eval):
    spanledger_eval.check(case, "groundedness", at_least=0.8)

def test_judged(spanledger_eval):
    from spanledger_evaluators import Case
    spanledger_eval.check(Case(question="q", answer="a"), "faithfulness", at_least=0.5)
"""


def test_a_marked_test_runs_for_each_case_and_fails_where_the_score_is_low(tmp_path: Path) -> None:
    rows = [
        {
            "id": "good",
            "answer": "The ferry takes twelve minutes.",
            "contexts": ["The ferry takes twelve minutes."],
        },
        {"id": "bad", "answer": "Helicopters reach Stockholm overnight.", "contexts": ["The ferry is slow."]},
        {"id": "bare", "answer": "No sources here."},
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test_app.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--disable-plugin-autoload",
        "-q",
        "-rA",
    ]
    argv += ["-p", "spanledger_evaluators.pytest_plugin", "--spanledger-out", "run.jsonl", "test_app.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "2 failed" in done.stdout
    assert "1 skipped" in done.stdout
    assert "groundedness 0." in done.stdout
    assert "name a judge" in done.stdout
    run = load(tmp_path / "run.jsonl")
    assert run.values("groundedness")["good"] == 1.0
    assert run.statuses("groundedness")["not_applicable"] == 1
