"""deepeval's G-Eval with the user's own criterion, on a scale that a stray "score 10" falls off."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.judge import Judge

from . import deepeval
from .quiet import quietly
from .soundness import Session

HIGHEST = 5
_RUBRIC = ((0, 1, "The criterion is not met."), (2, 3, "Met in part."), (4, 5, "Met in full."))


@dataclass(kw_only=True)
class GEval(Scorer):
    """How far an answer meets ``criteria``, 0..1 in steps of a fifth, by ``steps`` the judge follows.

    Without steps, two fixed ones ask for the criterion itself: deepeval would let the judge invent some for
    every case, and scores would not compare. The version changes with criterion and steps.
    """

    judge: Judge
    criteria: str
    steps: Sequence[str] = ()
    name: str = "deepeval.g_eval"
    version: str = ""
    needs_judge: bool = True

    def __post_init__(self) -> None:
        if not self.criteria.strip():
            raise ValueError("criteria is a sentence that says what a good answer does")
        self.steps = list(self.steps) or [
            "Read what was asked and the actual output.",
            f"Decide how far the actual output meets this criterion: {self.criteria}",
        ]
        told = "\0".join((self.criteria, *self.steps))
        self.version = self.version or f"deepeval-4 {hashlib.sha256(told.encode()).hexdigest()[:8]}"

    async def score(self, case: Case) -> Result:
        """Raises JudgeFailure where there is no sound verdict."""
        if not case.answer:
            return self.refuse("not_applicable", "the case has no answer")
        library = deepeval._library()  # pyright: ignore[reportPrivateUsage]
        params = quietly("deepeval.test_case").SingleTurnParams
        given: dict[str, Any] = {"input": case.question or "(none)", "actual_output": case.answer}
        used = [params.INPUT, params.ACTUAL_OUTPUT]
        if case.reference:
            given["expected_output"] = case.reference
            used.append(params.EXPECTED_OUTPUT)
        if case.contexts:
            given["retrieval_context"] = list(case.contexts)
            used.append(params.RETRIEVAL_CONTEXT)
        session = _InScale()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = library.metrics.GEval(
                name=self.name,
                evaluation_params=used,
                criteria=self.criteria,
                evaluation_steps=list(self.steps),
                rubric=_rubric(),
                model=library.judge(self.judge, session),
            )
            await metric.a_measure(library.cases.LLMTestCase(**given), _show_indicator=False)
        session.require_verdict()
        return self.result(float(metric.score), explanation=str(metric.reason or ""))


class _InScale(Session):
    def check(self, answer: BaseModel) -> None:
        Session.check(self, answer)
        score = getattr(answer, "score", None)
        if score is not None and not 0 <= score <= HIGHEST:
            raise ValueError(f"score is {score}, not 0 to {HIGHEST}")


def _rubric() -> list[Any]:
    rubric = quietly("deepeval.metrics.g_eval").Rubric
    return [rubric(score_range=(low, high), expected_outcome=text) for low, high, text in _RUBRIC]
