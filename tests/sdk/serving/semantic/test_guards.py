"""Guards: pairs that look alike and are not are refused, pairs that ask the same are let through.

The pairs here were written while the guards were made: they keep what was reached, and prove nothing about
pairs of others. The held-out half of ``tests/benchmarks/cache`` does.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.serving.semantic.guards import GUARDS, check

HERE = Path(__file__).parent
DEVELOPED_ON = HERE.parents[2] / "benchmarks" / "cache" / "pairs_dev.tsv"


def pairs(path: Path) -> list[tuple[bool, str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(row["same"] == "1", row["a"], row["b"]) for row in rows]


@pytest.mark.parametrize("path", [HERE / "guard_pairs.tsv", DEVELOPED_ON], ids=["own", "development half"])
def test_no_other_question_passes_and_most_paraphrases_do(path: Path) -> None:
    rows = pairs(path)
    passed = [(a, b) for same, a, b in rows if not same and not check(a, b)]
    assert passed == []
    kept = [not check(a, b) for same, a, b in rows if same]
    assert sum(kept) >= 0.87 * len(kept)


def test_of_further_pairs_hardly_any_other_question_passes() -> None:
    rows = pairs(DEVELOPED_ON.with_name("pairs_dev_more.tsv"))
    hits = [(same, a, b) for same, a, b in rows if not check(a, b)]
    assert sum(not same for same, _, _ in hits) <= 0.01 * len(hits)
    assert sum(same for same, _, _ in hits) >= 0.75 * sum(same for same, _, _ in rows)


@pytest.mark.parametrize(
    ("one", "two", "guard"),
    [
        ("What is 15 % of 240?", "What is 25 % of 240?", "number"),
        ("Give me three ideas", "Give me five ideas", "number"),
        ("Who won in 2014?", "Who won in 2018?", "number"),
        ("How tall is 180 cm in feet?", "How tall is 180 mm in feet?", "unit"),
        ("Is it open on Monday?", "Is it open on Tuesday?", "date"),
        ("What happened last week?", "What happened this week?", "date"),
        ("Why is my order shipped?", "Why isn't my order shipped?", "negation"),
        ("What is the GDP of Spain?", "What is the GDP of Portugal?", "entity"),
        ("What does git reset --soft do?", "What does git reset --hard do?", "code"),
        ("Why does df.loc fail?", "Why does df.iloc fail?", "code"),
        ("Was ist ein Konto?", "What is an account?", "language"),
        ("東京の人口は？", "大阪の人口は？", "language"),
        ("Do all birds fly?", "Do some birds fly?", "quantifier"),
        ("When was Harvard founded?", "Where was Harvard founded?", "asking"),
        ("What do sellers pay?", "What do buyers pay?", "wording"),
        ("How do I convert JSON to XML?", "How do I convert XML to JSON?", "order"),
        ("Does sleep affect stress?", "Does stress affect sleep?", "order"),
        ("Books by Obama", "Books about Obama", "order"),
        ("Can my landlord sue me?", "Can I sue my landlord?", "asking"),
        ("Can I drink on antibiotics?", "Should I drink on antibiotics?", "asking"),
        ("Has my order shipped?", "Will my order ship?", "asking"),
        ("Is the painter famous?", "Is the painting famous?", "wording"),
        ("How does a for loop work?", "How does a while loop work?", "code"),
        ("x + 3", "x - 3", "language"),
        ("Wie komme ich von Bonn nach Ulm?", "Wie komme ich von Ulm nach Bonn?", "order"),
    ],
)
def test_a_refusal_names_its_guard(one: str, two: str, guard: str) -> None:
    assert check(one, two) == guard
    assert check(two, one) == guard
    assert guard in dict(GUARDS)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("How do I merge 2 PDF files?", "What is the way to merge two PDF files?"),
        ("It costs 1,500 dollars, why?", "Why does it cost $1500?"),
        ("Why won't the app start?", "Why will the app not start?"),
        ("How far is the moon from the earth?", "What is the distance from the earth to the moon?"),
        ("What is the speed limit in the EU?", "What is the speed limit in the European Union?"),
        ("Wo finde ich meine Rechnung?", "Wo kann ich meine Rechnung finden?"),
        ("как отменить заказ", "Как отменить заказ?"),
    ],
)
def test_other_words_for_the_same_pass(one: str, two: str) -> None:
    assert check(one, two) == ""


texts = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [
            "who",
            "what",
            "3",
            "three",
            "not",
            "from",
            "to",
            "A",
            "Paris",
            "paris",
            "-r",
            "x.y()",
            "is",
            "the",
            "of",
            "km",
            "%",
            "don't",
            ",",
            "?",
            "12:30",
        ]
    ),
    max_size=12,
).map(" ".join)


@given(one=texts, two=texts)
def test_guards_read_any_text_and_are_symmetric(one: str, two: str) -> None:
    assert check(one, one) == ""
    assert bool(check(one, two)) == bool(check(two, one))
