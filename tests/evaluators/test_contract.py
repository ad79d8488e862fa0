"""A failure is a value: whatever a scorer does, the batch goes on and no false number comes out."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys

import pytest

from spanledger_evaluators import Case, Result, Scorer, score_case, score_cases, scorer

pytestmark = pytest.mark.anyio
CASE = Case(question="q", answer="a")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("value", [1.0001, -0.2, math.nan, math.inf, 7])
async def test_a_value_that_cannot_be_is_a_status_and_no_number(value: float) -> None:
    (result,) = await score_case(scorer(name="s")(lambda case: value), CASE)
    assert (result.status, result.value) == ("invalid", None)


async def test_rounding_error_is_not_out_of_range() -> None:
    (result,) = await score_case(scorer(name="s")(lambda case: 1 + 1e-12), CASE)
    assert (result.status, result.value) == ("ok", 1.0)


async def test_an_exception_becomes_a_status_and_the_batch_goes_on() -> None:
    def sometimes(case: Case) -> float:
        if case.answer == "bad":
            raise RuntimeError("boom")
        return 0.5

    cases = [Case(answer=answer) for answer in ("a", "bad", "c")]
    results = await score_cases([scorer(name="s")(sometimes)], cases, concurrency=2)
    assert [found[0].status for found in results] == ["ok", "judge_error", "ok"]
    assert "boom" in results[1][0].explanation


async def test_a_scorer_that_hangs_times_out() -> None:
    async def hang(case: Case) -> float:
        await asyncio.sleep(60)
        return 1.0

    (result,) = await score_case(scorer(name="s")(hang), CASE, timeout_s=0.05)
    assert (result.status, result.value) == ("timeout", None)


async def test_an_empty_answer_of_a_scorer_is_no_verdict() -> None:
    class Silent(Scorer):
        name = "silent"

        def score(self, case: Case) -> list[Result]:
            return []

    (result,) = await score_case(Silent(), CASE)
    assert (result.name, result.status) == ("silent", "no_verdict")


async def test_a_label_is_a_verdict_without_a_number() -> None:
    (result,) = await score_case(scorer(name="s", version="3")(lambda case: "polite"), CASE)
    assert (result.status, result.value, result.label, result.scorer_version) == ("ok", None, "polite", "3")


def test_importing_the_package_imports_no_evaluation_library() -> None:
    code = (
        "import sys, spanledger_evaluators\n"
        "assert not {'ragas', 'deepeval', 'pandas', 'scipy', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
