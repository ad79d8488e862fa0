"""Lexical groundedness: what it sees, what it refuses to judge, and how far people agree with it."""

from __future__ import annotations

import pytest

from spanledger_evaluators import Case
from spanledger_evaluators.scorers.groundedness import Groundedness
from spanledger_evaluators.stats.agreement import auc

from .conftest import Labelled

SOURCE = "The bridge was opened in 1932 by the premier of the state and carries eight lanes of traffic."


def test_an_invented_sentence_lowers_the_whole_answer() -> None:
    scorer = Groundedness()
    faithful = scorer.score(
        Case(answer="The bridge opened in 1932. It carries eight lanes.", contexts=(SOURCE,))
    )
    invented = scorer.score(
        Case(answer="The bridge opened in 1932. Pirates stole golden anchors yesterday.", contexts=(SOURCE,))
    )
    assert faithful.value == 1.0
    assert invented.value is not None
    assert invented.value < 0.5
    assert "Pirates" in invented.explanation


@pytest.mark.parametrize(
    ("case", "status"),
    [
        (Case(answer="Anything."), "not_applicable"),
        (Case(answer="Anything.", contexts=("  ",)), "not_applicable"),
        (Case(answer="", contexts=(SOURCE,)), "no_verdict"),
        (Case(answer="... !!!", contexts=(SOURCE,)), "no_verdict"),
    ],
)
def test_without_words_or_sources_there_is_no_number(case: Case, status: str) -> None:
    result = Groundedness().score(case)
    assert (result.status, result.value) == (status, None)


def test_people_agree_with_it_more_than_with_answer_length(ragtruth: list[Labelled]) -> None:
    scores = [Groundedness().score(row.case).value for row in ragtruth]
    assert None not in scores
    good = [row.good for row in ragtruth]
    by_length = auc([-len(row.case.answer) for row in ragtruth], good)
    assert auc([value or 0.0 for value in scores], good) >= max(0.75, by_length + 0.05)
