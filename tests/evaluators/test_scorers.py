"""The scorers that need no model: what each sees, and where it says that it cannot tell."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from spanledger_evaluators import Case, Document, ToolCall
from spanledger_evaluators.catalogue import ScorerOptions, build
from spanledger_evaluators.contract import Scorer, checked
from spanledger_evaluators.running import score_case
from spanledger_evaluators.scorers.content import language
from spanledger_evaluators.scorers.matching import JsonSchema, Matches
from spanledger_evaluators.scorers.retrieval import NdcgAtK, PrecisionAtK

DAY = 86_400 * 10**9
NOW = 1_800_000_000 * 10**9


def value(scorer: str | Scorer, case: Case) -> float | None:
    made = build(scorer) if isinstance(scorer, str) else scorer
    result: Any = made.score(case)
    found = checked(result, made.bounds)
    assert (found.value is None) == (found.status != "ok"), found
    return found.value


@pytest.mark.parametrize(
    ("scorer", "answer", "reference", "expected"),
    [
        ("exact_match", "Paris!", "paris", 1.0),
        ("exact_match", "It is Paris.", "Paris", 0.0),
        ("exact_match", "Paris", "", None),
        ("fuzzy_match", "kitten", "kitten", 1.0),
        ("fuzzy_match", "abcd", "bcde", 0.75),
        ("token_f1", "Berlin Hamburg", "Berlin Bremen", 0.5),
        ("token_f1", "", "Berlin", 0.0),
    ],
)
def test_answers_against_references(scorer: str, answer: str, reference: str, expected: float | None) -> None:
    assert value(scorer, Case(answer=answer, reference=reference)) == expected


def test_patterns_and_schemas() -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    assert value(Matches(pattern=r"\d{4}"), Case(answer="in 1999")) == 1.0
    assert value(Matches(pattern="secret", forbidden=True), Case(answer="the secret")) == 0.0
    hopeless = Matches(pattern="^(?:(?:x|xx)+)+y$", timeout_s=0.05).score(Case(answer="x" * 60 + "zy"))
    assert (hopeless.status, hopeless.value) == ("timeout", None)
    assert value(JsonSchema(schema=schema), Case(answer='{"n": 3}')) == 1.0
    assert value(JsonSchema(schema=schema), Case(answer='{"n": "3"}')) == 0.0
    assert value("json_schema", Case(answer="not json")) == 0.0
    assert value("json_schema", Case(answer="[1]", metadata={"json_schema": {"type": "array"}})) == 1.0


def test_a_scorer_takes_options_and_a_name_of_ones_own() -> None:
    made = build("no_secrets", options={"scorer": "regex", "pattern": "secret", "forbidden": True})
    assert (made.name, value(made, Case(answer="the secret"))) == ("no_secrets", 0.0)
    ranked = Case(documents=(Document(id="a", content="x"), Document(id="b", content="y")))
    ranked = replace(ranked, metadata={"relevant_ids": ["a"]})
    assert value(build("precision_at_k", options={"k": 1}), ranked) == 1.0
    assert value(build("seconds", options={"scorer": "latency_s"}), Case(metadata={"duration_ns": 5})) == 5e-9
    with pytest.raises(ScorerOptions, match="pattern"):
        build("regex")
    with pytest.raises(ScorerOptions, match=r"regex.*pattern '\(': missing \)"):
        build("regex", options={"pattern": "("})
    with pytest.raises(ScorerOptions, match=r"depth.*options: k, name"):
        build("precision_at_k", options={"depth": 3})


def test_tools_are_compared_by_deepeval_too() -> None:
    search, open_ = ToolCall(name="search"), ToolCall(name="open")
    made = build("deepeval.tool_correctness")
    for called, expected in (((search, open_), 1.0), ((search,), 0.5), ((), 0.0)):
        case = Case(question="q", answer="a", tools=called, expected_tools=(search, open_))
        (found,) = asyncio.run(score_case(made, case))
        assert (found.status, found.value) == ("ok", expected)
    (found,) = asyncio.run(score_case(made, Case(question="q", answer="a", tools=(search,))))
    assert found.status == "not_applicable"


def test_tool_calls_count_missing_and_superfluous_ones() -> None:
    expected = (ToolCall(name="search", arguments={"q": "x"}), ToolCall(name="open", arguments={"id": 1}))
    assert value("tool_calls_match", Case(tools=expected, expected_tools=expected)) == 1.0
    assert value("tool_calls_match", Case(tools=expected[:1], expected_tools=expected)) == pytest.approx(
        2 / 3
    )
    wrong = (ToolCall(name="search", arguments={"q": "y"}),)
    assert value("tool_calls_match", Case(tools=wrong, expected_tools=expected)) == 0.0
    assert value("tool_calls_match", Case(tools=wrong)) is None


def test_measured_facts_are_unknown_where_nobody_measured() -> None:
    assert value("latency_s", Case(metadata={"duration_ns": 1_500_000_000})) == 1.5
    assert value("latency_s", Case()) is None
    assert value("cost_usd", Case(metadata={"cost_total": None})) is None


def test_citations_must_exist_and_fit() -> None:
    contexts = ("The ferry takes twelve minutes.", "The museum closes on Mondays.")
    right = Case(
        answer="The ferry takes twelve minutes [1]. The museum closes on Mondays [2].", contexts=contexts
    )
    wrong = Case(answer="The ferry takes twelve minutes [2]. It is cheap [7].", contexts=contexts)
    assert value("citations", right) == 1.0
    assert value("citations", wrong) == 0.0
    assert value("citations", Case(answer="No marks.", contexts=contexts)) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I'm sorry, but I can't help with that.", 1.0),
        ("I\u2019m sorry, I don't know.", 1.0),
        ("There is not enough information to answer.", 1.0),
        ("The shop helps with returns within 30 days.", 0.0),
    ],
)
def test_refusals(answer: str, expected: float) -> None:
    assert value("refusal", Case(answer=answer)) == expected


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ("Write to anna@example.org.", "e-mail address"),
        ("Card 4111 1111 1111 1111.", "card number"),
        ("Order 4111 1111 1111 1112.", ""),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN"),
        ("Call +49 30 1234567 today", "phone number"),
        ("In 1889 it cost 7,800,000 francs.", ""),
        ("SSN 123-45-6789", "US social security number"),
    ],
)
def test_personal_data_is_named_by_kind_and_never_repeated(answer: str, kinds: str) -> None:
    result: Any = build("personal_data").score(Case(answer=answer))
    assert (result.value, result.explanation) == (float(bool(kinds)), kinds)


def test_what_was_in_the_question_is_not_given_away() -> None:
    case = Case(question="Is anna@example.org yours?", answer="Yes, anna@example.org is ours.")
    assert value("personal_data", case) == 0.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The ferry is late and it will not leave before noon.", "en"),
        ("Die F\u00e4hre ist zu sp\u00e4t und wird nicht vor dem Mittag ablegen.", "de"),
        ("Le ferry est en retard et ne partira pas avant midi dans la ville.", "fr"),
        ("\u8f6e\u6e21\u665a\u70b9\u4e86", "zh"),
        ("\u041f\u0430\u0440\u043e\u043c \u043e\u043f\u0430\u0437\u0434\u044b\u0432\u0430\u0435\u0442", "ru"),
        ("OK", ""),
    ],
)
def test_languages(text: str, code: str) -> None:
    assert language(text) == code


def test_ranking_measures_known_answers() -> None:
    documents = tuple(Document(id=name, content=name) for name in ("a", "b", "c", "d"))
    case = Case(documents=documents, metadata={"relevant_ids": ["b", "d", "x"]})
    assert value("precision_at_k", case) == 0.5
    assert value(PrecisionAtK(k=1), case) == 0.0
    assert value("recall_at_k", case) == pytest.approx(2 / 3)
    assert value("hit_at_k", case) == 1.0
    assert value("reciprocal_rank", case) == 0.5
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert value("ndcg_at_k", case) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    graded = Case(documents=documents, metadata={"relevant_ids": {"a": 3, "b": 1}})
    assert value(NdcgAtK(k=2), graded) == 1.0
    assert value("recall_at_k", Case(metadata={"relevant_ids": ["b"]})) == 0.0
    assert value("recall_at_k", Case(documents=documents)) is None


def test_freshness_comes_from_the_sources_own_times() -> None:
    fresh = Document(id="f", content="new", updated_at=NOW - 2 * DAY, indexed_at=NOW - DAY)
    old = Document(id="o", content="old", updated_at=NOW - 400 * DAY, indexed_at=NOW - 397 * DAY)
    gone = Document(id="g", content="gone", superseded_by="f")
    case = Case(documents=(fresh, old, gone), answer="So it says [3].", metadata={"start_time": NOW})
    assert value("source_age_days", case) == pytest.approx(201)
    assert value("stale_hit_rate", case) == pytest.approx(2 / 3)
    assert value("index_lag_days", case) == pytest.approx(2)
    assert value("superseded_source_cited", case) == 1.0
    bare = Case(documents=(Document(content="x"),), answer="y", metadata={"start_time": NOW})
    for name in ("source_age_days", "stale_hit_rate", "index_lag_days", "superseded_source_cited"):
        assert value(name, bare) is None
