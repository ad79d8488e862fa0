"""Every way a judge can fail, against every scorer that asks one: never a number from a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from spanledger_evaluators import Case, Result, Scorer, Turn, score_cases
from spanledger_evaluators.adapters.geval import GEval
from spanledger_evaluators.catalogue import build, names
from spanledger_evaluators.judge import Judge, JudgeSettings

from .judges import FAULTS, JudgeServer, sound

CASE = Case(
    question="When was the tower built?",
    answer="It was built in 1889. It is made of iron.",
    contexts=("The tower was built in 1889.", "The tower is made of iron."),
    reference="It was built in 1889. It is made of iron.",
    turns=(
        Turn(role="user", content="When was the tower built?"),
        Turn(role="assistant", content="In 1889."),
        Turn(role="user", content="Of what?"),
        Turn(role="assistant", content="Of iron."),
    ),
    metadata={"role": "a guide of the tower"},
)
FORMULAS = ["answer_relevancy", "context_precision", "context_recall", "faithfulness"]
UNJUDGED = {"deepeval.tool_correctness"}
JUDGED = [
    name for name in names() if name.startswith(("ragas.", "deepeval.")) and name not in UNJUDGED
] + FORMULAS

# A list that the judge itself makes up has no right length, so a longer one is no fault.
COUNTLESS = {
    "ragas.answer_relevancy",
    "ragas.context_precision",
    "deepeval.contextual_recall",
    "deepeval.contextual_relevancy",
    "deepeval.conversation_completeness",
    "deepeval.turn_relevancy",
    "deepeval.knowledge_retention",
    "deepeval.g_eval",
}
LISTLESS = {
    "ragas.answer_relevancy",
    "ragas.context_precision",
    "deepeval.g_eval",
    "deepeval.turn_relevancy",
    "deepeval.role_adherence",  # it lists what is wrong: an empty list says that nothing is
}


async def _nothing(seconds: float) -> None:
    """Wait for nothing, so that back-off costs the test no time."""


def make_judge(server: JudgeServer, **changes: Any) -> Judge:
    settings: dict[str, Any] = {
        "base_url": server.url,
        "model": "judge-1",
        "timeout_s": 30.0,
        "embedding_model": "embed-1",
    }
    return Judge(JudgeSettings(**(settings | changes)), sleep=_nothing)


def make_scorer(name: str) -> Callable[[Judge], Scorer]:
    if name == "deepeval.g_eval":
        return lambda judge: GEval(
            judge=judge, criteria="It answers the question.", steps=["Read it.", "Rate it."]
        )
    return lambda judge: build(name, judge)


def run(server: JudgeServer, scorer: Callable[[Judge], Scorer], **changes: Any) -> list[list[Result]]:
    async def go() -> list[list[Result]]:
        judge = make_judge(server, **changes)
        try:
            return await score_cases([scorer(judge)], [CASE, CASE], timeout_s=30)
        finally:
            await judge.aclose()

    return asyncio.run(go())


SCORERS = sorted(JUDGED)


@pytest.mark.parametrize("name", SCORERS)
def test_a_judge_that_works_gives_a_number(judge_server: JudgeServer, name: str) -> None:
    for (result,) in run(judge_server, make_scorer(name)):
        assert result.status == "ok", result.explanation
        assert result.value is not None
        assert 0 <= result.value <= 1
        assert result.judge_id
        assert result.cost is not None
        assert result.cost > 0


@pytest.mark.parametrize("name", SCORERS)
def test_a_judge_that_fails_gives_a_status_and_no_number(judge_server: JudgeServer, name: str) -> None:
    for fault, spoil in FAULTS.items():
        if (fault == "wrong count" and name in COUNTLESS) or (fault == "empty lists" and name in LISTLESS):
            continue
        judge_server.spoil = spoil
        changes = {"timeout_s": 0.3} if fault == "hang" else {}
        for (result,) in run(judge_server, make_scorer(name), **changes):
            assert (result.status != "ok", result.value) == (True, None), (fault, result)
            assert result.explanation, fault


def test_one_bad_answer_costs_one_case_and_not_the_batch(judge_server: JudgeServer) -> None:
    def spoil(schema: dict[str, Any]) -> Any:
        asked = judge_server.requests[-1]["messages"][1]["content"]
        return FAULTS["prose"](schema) if "POISON" in asked else sound(schema)

    judge_server.spoil = spoil

    async def go() -> list[list[Result]]:
        judge = make_judge(judge_server, in_flight=1)
        cases = [CASE, Case(question="POISON", answer="POISON", contexts=("c",)), CASE]
        results = await score_cases([build("faithfulness", judge)], cases, concurrency=1)
        await judge.aclose()
        return results

    assert [found[0].status for found in asyncio.run(go())] == ["ok", "judge_error", "ok"]
