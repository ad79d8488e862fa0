"""`spanledger eval` from the shell: files in, reports and exit codes out, as a CI job sees it."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pyarrow
import pytest
from pyarrow import parquet

from spanledger_evaluators.command import command
from spanledger_evaluators.datasets import DatasetError, load_dataset, save_dataset
from spanledger_evaluators.runs import load

from .judges import JudgeServer

SOURCE = "The ferry crosses to Lindholm in twelve minutes and leaves the old quay every quarter of an hour."
GOOD = "The ferry crosses to Lindholm in twelve minutes."
BAD = "Helicopters reach Stockholm overnight with complimentary champagne."


def dataset(path: Path, good: float, n: int = 120, seed: int = 1) -> Path:
    rng = random.Random(seed)
    with path.open("w") as file:
        for number in range(n):
            answer = GOOD if rng.random() < good else BAD
            row = {"id": str(number), "question": "How long?", "contexts": [SOURCE], "answer": answer}
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    def call(*words: str | Path) -> int:
        return command([str(word) for word in words])

    return call


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_app.py").write_text(
        f"def good(case):\n    return {GOOD!r}\n\n\nasync def bad(case):\n    return {BAD!r}\n\n\n"
        "def broken(case):\n    raise RuntimeError('no answer today')\n\n\n"
        "def first(contexts, top=1):\n    return contexts[0]\n\n\ndef odd(user, session):\n    return user\n"
    )
    monkeypatch.chdir(tmp_path)


def test_a_regression_exits_1_a_pass_0_and_too_little_data_2(run: Callable[..., int], tmp_path: Path) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.9)
    for name in ("good", "bad", "again"):
        function = "my_app:bad" if name == "bad" else "my_app:good"
        made = ("--scorers", "groundedness", "--function", function, "--out", f"{name}.jsonl")
        assert run("run", cases, *made) == 0
    reports = ("--junit", "r.xml", "--json", "r.json", "--markdown", "r.md")
    assert run("compare", "good.jsonl", "bad.jsonl", *reports) == 1
    assert json.loads(Path("r.json").read_text())["verdict"] == "regression"
    assert "REGRESSION" in Path("r.md").read_text()
    (suite,) = Xml.parse("r.xml").getroot()
    assert (suite.get("failures"), suite.get("tests")) == ("1", "1")
    assert run("compare", "good.jsonl", "again.jsonl") == 0
    assert run("run", cases, "--scorers", "groundedness", "--limit", "5", "--out", "few.jsonl") == 0
    assert run("run", cases, "--scorers", "groundedness", "--limit", "5", "--out", "few2.jsonl") == 0
    assert run("compare", "few.jsonl", "few2.jsonl", "--junit", "few.xml") == 2
    (suite,) = Xml.parse("few.xml").getroot()
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


def test_a_threshold_missed_exits_1(run: Callable[..., int], tmp_path: Path) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.9)
    words = ("run", cases, "--scorers", "groundedness", "--junit", "t.xml")
    assert run(*words, "--out", "a.jsonl", "--at-least", "groundedness=0.8") == 0
    assert run(*words, "--out", "b.jsonl", "--at-least", "groundedness=0.99") == 1
    assert "misses 0.99" in Path("t.xml").read_text()


def test_an_interrupted_run_goes_on_where_it_stopped(run: Callable[..., int], tmp_path: Path) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.9, n=20)
    words = ("run", cases, "--scorers", "groundedness", "--repeats", "2", "--out", "a.jsonl")
    assert run(*words) == 0
    whole = load(Path("a.jsonl"))
    assert len(whole.rows) == 40
    lines = Path("a.jsonl").read_text().splitlines()
    Path("a.jsonl").write_text("\n".join(lines[:15]) + lines[15][:20])
    assert run(*words) == 3  # it is there already
    assert run(*words, "--resume") == 0
    found = load(Path("a.jsonl"))
    assert sorted((row.case_id, row.repeat) for row in found.rows) == sorted(
        (row.case_id, row.repeat) for row in whole.rows
    )


def test_a_target_that_fails_keeps_its_rows_and_the_gate_counts_them(
    run: Callable[..., int], tmp_path: Path
) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.9, n=30)
    assert run("run", cases, "--scorers", "groundedness", "--out", "base.jsonl") == 0
    made = ("--scorers", "groundedness", "--function", "my_app:broken", "--out", "broken.jsonl")
    assert run("run", cases, *made) == 2
    rows = load(Path("broken.jsonl")).rows
    assert len(rows) == 30
    assert all("no answer today" in row.error for row in rows)


def test_a_function_may_name_what_it_takes_of_a_case(run: Callable[..., int], tmp_path: Path) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.9, n=30)
    made = ("--scorers", "groundedness", "--function", "my_app:first", "--out", "first.jsonl")
    assert run("run", cases, *made) == 0
    assert set(load(Path("first.jsonl")).values("groundedness").values()) == {1.0}


def test_a_judge_is_called_through_the_gateway_and_the_cap_holds(
    run: Callable[..., int], tmp_path: Path, judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANLEDGER_GATEWAY_URL", judge_server.url)
    monkeypatch.setenv("SPANLEDGER_KEY", "sl_ci_x")
    cases = dataset(tmp_path / "cases.jsonl", 0.9, n=10)
    words = ("run", cases, "--scorers", "faithfulness", "--judge", "judge-1", "--concurrency", "1")
    assert run(*words, "--cap", "0.00085", "--out", "capped.jsonl") == 0
    statuses = load(Path("capped.jsonl")).statuses("faithfulness")
    assert statuses["over_budget"] >= 5
    assert statuses["ok"] == 4
    assert judge_server.headers[0]["authorization"] == "Bearer sl_ci_x"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "missing.jsonl", "--scorers", "groundedness"), "missing.jsonl"),
        (("run", "cases.jsonl", "--scorers", "no_such_scorer"), "no scorer 'no_such_scorer'"),
        (("run", "cases.jsonl", "--scorers", "faithfulness"), "name a judge"),
        (("run", "cases.jsonl", "--scorers", "groundedness", "--function", "my_app:nope"), "my_app:nope"),
        (
            ("run", "cases.jsonl", "--scorers", "groundedness", "--function", "my_app:odd"),
            "takes user, session",
        ),
        (("compare", "cases.jsonl", "cases.jsonl"), "no run of spanledger eval"),
    ],
)
def test_bad_input_exits_3_and_says_what_is_wrong(
    run: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    says: str,
) -> None:
    dataset(tmp_path / "cases.jsonl", 0.9, n=3)
    assert run(*words) == 3
    assert says in capsys.readouterr().err


def test_bad_usage_exits_3(run: Callable[..., int]) -> None:
    with pytest.raises(SystemExit) as end:
        run("compare", "a", "b", "--margin", "-1")
    assert end.value.code == 3


def test_calibration_reads_labels_of_people(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = dataset(tmp_path / "cases.jsonl", 0.6, n=50)
    assert run("run", cases, "--scorers", "groundedness", "--out", "a.jsonl") == 0
    with Path("labels.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "label"])
        for row in load(Path("a.jsonl")).rows:
            writer.writerow([row.case_id, "pass" if row.answer == GOOD else "fail"])
    assert run("calibrate", "a.jsonl", "labels.csv", "--metric", "groundedness", "--threshold", "0.8") == 0
    told = capsys.readouterr().out
    assert "50 of 50 judged answers have a label" in told
    assert re.search(r"\| all \| 50 \| 1\.000 \[0\.\d+, 1\.000\] \| 1\.000 \|", told)
    assert "Pass rate by PPI++: refused: " in told  # nothing is left unlabelled
    assert re.search(r"Pass rate by Rogan-Gladen: 0\.\d+ \[0\.\d+, 0\.\d+\]", told)


def test_a_dataset_reads_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [
        {
            "id": "1",
            "user_input": "q1",
            "response": "a1",
            "retrieved_contexts": ["c1", "c2"],
            "reference": "r1",
        },
        {"id": "2", "user_input": "q2", "response": "a2", "retrieved_contexts": ["c3"], "reference": "r2"},
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            [{**row, "retrieved_contexts": json.dumps(row["retrieved_contexts"])} for row in rows]
        )
    table: Any = pyarrow.Table.from_pylist(rows)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    parquet.write_table(table, tmp_path / "d.parquet")  # pyright: ignore[reportUnknownMemberType]
    found = [load_dataset(tmp_path / f"d.{kind}") for kind in ("jsonl", "csv", "parquet")]
    assert {one.version for one in found} == {found[0].version}
    assert found[0].cases[0].contexts == ("c1", "c2")
    assert found[0].cases[1].reference == "r2"
    save_dataset(found[0], tmp_path / "e.jsonl")
    assert load_dataset(tmp_path / "e.jsonl").version == found[0].version


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": "1"}\nnonsense\n', "d.jsonl:2: no JSON"),
        ('{"id": "1"}\n{"id": "1"}\n', "'1' is there twice"),
        ("", "no cases"),
        ('{"id": "1", "contexts": 7}\n', "d.jsonl:1: contexts are a list of texts"),
    ],
)
def test_a_broken_dataset_is_refused_with_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "d.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=says):
        load_dataset(tmp_path / "d.jsonl")
