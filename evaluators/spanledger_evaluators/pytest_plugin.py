"""A pytest plugin: a marker that feeds a test with the cases of a dataset, and a fixture that scores them.

    @pytest.mark.spanledger_eval(dataset="cases.jsonl")
    def test_answers(case, spanledger_eval):
        spanledger_eval.check(my_app(case), "groundedness", at_least=0.8)

``--spanledger-out FILE`` writes all scores of the session as a run, for ``spanledger eval compare``.
``--spanledger-judge MODEL`` names the judge, called through the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # all of ours is imported when a test asks for it, not when pytest starts
    from .contract import Case, Result, Scorer
    from .judge import Judge

MARKER = "spanledger_eval"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("spanledger")
    group.addoption("--spanledger-out", help="write the session's scores as a run to this file")
    group.addoption("--spanledger-judge", default="", help="route or model that judges, through the gateway")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{MARKER}(dataset, split='', limit=None): run the test for each case of a dataset"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise ``case`` of a marked test."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None or "case" not in metafunc.fixturenames:
        return
    from .datasets import load_dataset

    options: dict[str, Any] = dict(marker.kwargs)
    path = Path(options.pop("dataset"))
    here = metafunc.config.rootpath if metafunc.definition.path is None else metafunc.definition.path.parent  # pyright: ignore[reportUnnecessaryComparison]
    found = path if path.is_absolute() or path.exists() else here / path
    cases = load_dataset(found).only(**options).cases
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


class Evaluation:
    """What a test scores with: every score of the session is kept."""

    def __init__(self, judge: str = "") -> None:
        """``judge`` is a route or model; empty: scorers that need one are refused."""
        self._judge_model = judge
        self._judge: Judge | None = None
        self._runner = asyncio.Runner()
        self._scorers: dict[str, Scorer] = {}
        self.rows: list[tuple[Case, list[Result]]] = []

    def score(self, case: Case, *scorers: str | Scorer) -> list[Result]:
        """All results about a case; a failure is a result with a status."""
        from .running import score_case

        results = [
            result
            for scorer in scorers
            for result in self._runner.run(score_case(self._scorer(scorer), case))
        ]
        self.rows.append((case, results))
        return results

    def check(
        self, case: Case, scorer: str | Scorer, *, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """Fail the test when the score misses a limit, or when there is no score; ``not_applicable`` skips it."""
        for result in self.score(case, scorer):
            if result.status == "not_applicable":
                pytest.skip(f"{result.name}: {result.explanation}")
            value = result.value
            if result.status != "ok" or value is None:
                pytest.fail(f"{result.name}: {result.status}: {result.explanation}", pytrace=False)
            if at_least is not None and value < at_least:
                pytest.fail(f"{result.name} {value:.3f} < {at_least:g}: {result.explanation}", pytrace=False)
            if at_most is not None and value > at_most:
                pytest.fail(f"{result.name} {value:.3f} > {at_most:g}: {result.explanation}", pytrace=False)

    def save(self, path: Path) -> None:
        """Write everything scored so far as a run."""
        from .datasets import Dataset
        from .runs import Run, ScoredCase, save

        dataset = Dataset(name="pytest", cases=tuple({case.id: case for case, _ in self.rows}.values()))
        run = Run(name=path.stem, dataset="pytest", dataset_version=_questions_version(dataset.cases))
        merged: dict[str, list[Result]] = {}
        for case, results in self.rows:
            merged.setdefault(case.id, []).extend(results)
        answers = {case.id: case for case, _ in self.rows}
        run.rows = [
            ScoredCase(
                case_id=case_id,
                cluster=answers[case_id].cluster,
                answer=answers[case_id].answer,
                results=results,
            )
            for case_id, results in merged.items()
        ]
        save(run, path)

    def close(self) -> None:
        """Close connections and the event loop."""
        if self._judge is not None:
            self._runner.run(self._judge.aclose())
        self._runner.close()

    def _scorer(self, scorer: str | Scorer) -> Scorer:
        if not isinstance(scorer, str):
            return scorer
        if scorer not in self._scorers:
            from .catalogue import build

            self._scorers[scorer] = build(scorer, self._made_judge())
        return self._scorers[scorer]

    def _made_judge(self) -> Judge | None:
        if self._judge is None and self._judge_model:
            from .judge import Judge, JudgeSettings
            from .settings import EvalSettings, load_settings

            settings = load_settings(EvalSettings)
            judging = JudgeSettings(
                model=self._judge_model,
                base_url=settings.gateway_url,
                key=settings.key,
                embedding_model=settings.embedding_model,
            )

            async def made() -> Judge:
                return Judge(judging)

            self._judge = self._runner.run(made())
        return self._judge


def _questions_version(cases: tuple[Case, ...]) -> str:
    """Equal for equal questions: the answers are what is compared."""
    import hashlib

    text = "\0".join(f"{case.id}\1{case.question}\1{case.reference}" for case in cases)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.fixture(scope="session")
def _spanledger_evaluation(request: pytest.FixtureRequest) -> Generator[Evaluation]:
    evaluation = Evaluation(str(request.config.getoption("--spanledger-judge") or ""))
    yield evaluation
    out = request.config.getoption("--spanledger-out")
    if out:
        evaluation.save(Path(str(out)))
    evaluation.close()


@pytest.fixture
def spanledger_eval(_spanledger_evaluation: Evaluation) -> Evaluation:
    """Scores cases and keeps the scores."""
    return _spanledger_evaluation
