"""The demo's material: answers that a scorer can tell apart, documents the registry takes, a fixed script."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from spanledger_collector.store.registry.documents import validate
from spanledger_collector.up.demo.cases import CaseSet, DemoCase, data_folder, load_cases, ragtruth_case
from spanledger_collector.up.demo.documents import FLOOR, TEAMS, allowance, documents, team_keys
from spanledger_collector.up.demo.roles import demo_roles
from spanledger_collector.up.demo.story import ACTS, act_at, ask
from spanledger_collector.up.settings import UpSettings
from spanledger_evaluators.contract import Case, Document
from spanledger_evaluators.scorers.groundedness import Groundedness


def groundedness(case: DemoCase, answer: str) -> float:
    sources = tuple(Document(content=passage) for passage in case.passages)
    value = Groundedness().score(Case(id="1", question=case.question, answer=answer, documents=sources)).value
    assert value is not None
    return value


def means(told: CaseSet) -> tuple[float, float, float]:
    kinds = [
        [case.right for case in told.cases],
        [c.backup for c in told.cases],
        [c.wrong for c in told.cases],
    ]
    scored = [fmean(map(groundedness, told.cases, answers)) for answers in kinds]
    return scored[0], scored[1], scored[2]


def test_our_own_answers_lie_on_both_sides_of_the_floor() -> None:
    told = load_cases(None)
    right, backup, wrong = means(told)
    assert min(right, backup) > FLOOR + 0.1
    assert wrong < FLOOR - 0.1
    assert len(told.cases) >= 12


def test_ragtruths_answers_lie_on_both_sides_of_the_floor(test_data: Path) -> None:
    told = load_cases(test_data)
    right, backup, wrong = means(told)
    assert min(right, backup) > FLOOR + 0.05
    assert wrong < FLOOR - 0.1
    assert len(told.cases) > 100


def test_a_question_without_marked_answers_is_left_out() -> None:
    source = {"question": "q", "passages": "passage 1:a\n\npassage 2:b"}
    unmarked: dict[str, Any] = {"model": "gpt-4-0613", "response": "good", "labels": []}
    marked: dict[str, Any] = {"model": "m", "response": "bad", "labels": [{"start": 0, "end": 3}]}
    assert ragtruth_case({"source": source, "responses": [unmarked]}) is None
    made = ragtruth_case({"source": source, "responses": [unmarked, marked]})
    assert made == DemoCase("q", ("passage 1:a", "passage 2:b"), "good", "good", "bad")


def test_the_data_folder_is_named_or_lies_beside_the_checkout(tmp_path: Path) -> None:
    data = tmp_path / "shared" / "data" / "ragtruth"
    assert data_folder({}, tmp_path / "checkout") is None
    data.mkdir(parents=True)
    (data / "ragtruth_qa.jsonl").touch()
    assert data_folder({}, tmp_path / "checkout") == data.parent
    assert data_folder({"SPANLEDGER_DEMO_DATA": str(data.parent)}) == data.parent
    assert data_folder({"SPANLEDGER_DEMO_DATA": "own"}, tmp_path / "checkout") is None
    with pytest.raises(ValueError, match="SPANLEDGER_DEMO_DATA"):
        data_folder({"SPANLEDGER_DEMO_DATA": str(tmp_path)})


def test_the_registry_takes_every_document() -> None:
    drafts = documents("http://127.0.0.1:1", "http://127.0.0.1:2", team_keys("s"), Decimal("1.2341"))
    for draft in drafts:
        validate(draft["kind"], draft["name"], draft["document"], "default")
    budget = next(draft["document"] for draft in drafts if draft["kind"] == "budget")
    assert budget["amount"] == "1.235"


def test_a_showing_may_spend_some_dozens_of_answers_however_long_they_are() -> None:
    short = DemoCase("q" * 40, ("p" * 360,), "r" * 100, "", "")
    long = DemoCase("q" * 40, ("p" * 3960,), "r" * 1000, "", "")
    assert allowance([short]) == Decimal("0.023")
    assert allowance([long]) == Decimal("0.225")


def test_team_keys_are_the_same_at_every_start_and_differ_between_homes() -> None:
    assert team_keys("home 1") == team_keys("home 1")
    assert set(team_keys("home 1")) == set(TEAMS)
    assert not set(team_keys("home 1").values()) & set(team_keys("home 2").values())


def test_the_script_is_fixed_and_told_within_three_minutes() -> None:
    first = [ask(number, 12) for number in range(200)]
    assert first == [ask(number, 12) for number in range(200)]
    assert {asked.team for asked in first} == set(TEAMS)
    assert ACTS[-1].begins_s <= 180
    assert [act_at(second) for second in (-1, 0, 29.9, 30, 10_000)] == [0, 0, 0, 1, len(ACTS) - 1]


def test_the_demo_adds_two_models_and_traffic_that_wait_for_the_product() -> None:
    added = {role.name: role for role in demo_roles(UpSettings())}
    assert set(added) == {"demo-primary", "demo-backup", "demo"}
    assert {"gateway", "worker", "collector"} <= set(added["demo"].after)
