"""The gate's verdict: right about regressions, honest about too few cases, and not fooled by holes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from spanledger_evaluators import Result
from spanledger_evaluators.compare import Comparison, NotComparable, compare
from spanledger_evaluators.runs import Run, RunError, ScoredCase, load, save

from .conftest import Labelled


def run_of(
    name: str, values: Mapping[str, Mapping[str, float] | Mapping[str, float | None]], **more: str
) -> Run:
    """A run from metric -> case -> value; None is a failed score."""
    ids = list(dict.fromkeys(case_id for cases in values.values() for case_id in cases))
    rows = [
        ScoredCase(
            case_id=case_id,
            cluster=more.get("cluster", ""),
            results=[_result(metric, cases[case_id]) for metric, cases in values.items() if case_id in cases],
        )
        for case_id in ids
    ]
    return Run(name=name, dataset="d", dataset_version=more.get("version", "v1"), rows=rows)


def _result(metric: str, value: float | None) -> Result:
    made = Result(name=metric, value=value, scorer=metric, scorer_version="1")
    return made if value is not None else replace(made, status="judge_error")


def noisy(n: int, mean: float, seed: int) -> dict[str, float]:
    rng = random.Random(seed)
    return {str(i): min(1.0, max(0.0, rng.gauss(mean, 0.15))) for i in range(n)}


def test_a_real_drop_is_a_regression_and_a_harmless_change_passes() -> None:
    base = noisy(300, 0.8, 1)
    worse = {case: max(0.0, value - 0.1) for case, value in base.items()}
    same = {case: min(1.0, value + random.Random(case).gauss(0, 0.03)) for case, value in base.items()}
    assert compare(run_of("a", {"m": base}), run_of("b", {"m": worse})).verdict == "regression"
    assert compare(run_of("a", {"m": base}), run_of("b", {"m": same})).verdict == "pass"


def test_too_few_cases_are_inconclusive_and_it_says_how_many_would_do() -> None:
    found = compare(run_of("a", {"m": noisy(12, 0.8, 1)}), run_of("b", {"m": noisy(12, 0.8, 2)})).metrics[0]
    assert found.verdict == "inconclusive"
    assert found.cases_needed is not None
    assert found.cases_needed > 50


def test_a_case_the_candidate_could_not_answer_counts_as_the_worst() -> None:
    base = noisy(60, 0.8, 1)
    holes: dict[str, float | None] = dict(base)
    for case in list(base)[:20]:
        holes[case] = None
    found = compare(run_of("a", {"m": base}), run_of("b", {"m": holes})).metrics[0]
    assert (found.verdict, found.missing) == ("regression", 20)


def test_lower_is_better_turns_the_verdict() -> None:
    def run(name: str, add: float) -> Run:
        made = run_of(name, {"latency": {k: v + add for k, v in noisy(200, 0.5, 1).items()}})
        made.rows = [
            replace(row, results=[replace(result, higher_is_better=False) for result in row.results])
            for row in made.rows
        ]
        return made

    assert compare(run("a", 0.0), run("b", 0.2)).verdict == "regression"
    assert compare(run("a", 0.2), run("b", 0.0)).verdict == "pass"


SPOILED: dict[str, Callable[[Run], Run]] = {
    "different datasets": lambda run: replace(run, dataset_version="v2"),
    "different scorer version": lambda run: resigned(run, scorer_version="2"),
    "different judge": lambda run: resigned(run, judge_id="other-judge"),
    "only 67% of the cases": lambda run: replace(run, rows=run.rows[:40]),
}


@pytest.mark.parametrize("says", SPOILED)
def test_runs_that_measure_different_things_are_refused_unless_told(says: str) -> None:
    base = run_of("a", {"m": noisy(60, 0.8, 1)})
    other = SPOILED[says](run_of("b", {"m": noisy(60, 0.8, 1)}))
    with pytest.raises(NotComparable, match=says):
        compare(base, other)
    assert says in " ".join(compare(base, other, force=True).warnings)


def test_human_labels_of_six_models_get_the_verdicts_people_would_give(ragtruth: list[Labelled]) -> None:
    """Reference figures: gpt-4 +.023 [-.027, +.072] passes at five points; llama-2 and mistral are far worse."""
    runs = {
        model: run_of(
            model, {"faithful": {row.case.cluster: float(row.good) for row in ragtruth if row.model == model}}
        )
        for model in {row.model for row in ragtruth}
    }
    base = runs["gpt-3.5-turbo-0613"]
    found = compare(base, runs["gpt-4-0613"]).metrics[0]
    assert found.verdict == "pass"
    assert found.difference.value == pytest.approx(0.023, abs=0.002)
    assert (found.difference.low, found.difference.high) == pytest.approx((-0.027, 0.072), abs=0.015)
    for model in ("llama-2-70b-chat", "llama-2-13b-chat", "llama-2-7b-chat", "mistral-7B-instruct"):
        assert compare(base, runs[model]).verdict == "regression"


@pytest.mark.parametrize("n", [50, 200])
def test_two_equal_systems_are_seldom_told_apart(n: int) -> None:
    """A/A with eight scorers, four of them pass or fail; the full 2,000 runs are in tests/benchmarks."""
    alarms = sum(aa_comparison(n, seed).verdict == "regression" for seed in range(80))
    assert alarms / 80 <= 0.05


def aa_comparison(n: int, seed: int) -> Comparison:
    """Two runs of the same system over the same cases, some hard, with eight metrics."""
    rng = random.Random(seed)
    hard = [rng.random() for _ in range(n)]

    def once() -> dict[str, dict[str, float]]:
        return {
            f"m{k}": {
                str(i): float(rng.random() > hard[i] * 0.4)
                if k < 4
                else min(1.0, max(0.0, rng.gauss(1 - hard[i] / 2, 0.1 * (k - 3))))
                for i in range(n)
            }
            for k in range(8)
        }

    return compare(run_of("a", once()), run_of("b", once()))


def test_a_run_survives_its_file_and_an_interruption(tmp_path: Path) -> None:
    run = run_of("a", {"m": noisy(5, 0.8, 1)})
    save(run, tmp_path / "a.jsonl")
    assert load(tmp_path / "a.jsonl") == run
    text = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "cut.jsonl").write_text(text[:-30])
    assert load(tmp_path / "cut.jsonl").rows == run.rows[:-1]
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(RunError, match="no run"):
        load(tmp_path / "other.jsonl")


def resigned(run: Run, scorer_version: str = "1", judge_id: str = "") -> Run:
    rows = [
        replace(
            row,
            results=[replace(r, scorer_version=scorer_version, judge_id=judge_id) for r in row.results],
        )
        for row in run.rows
    ]
    return replace(run, rows=rows)
