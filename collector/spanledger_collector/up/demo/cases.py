"""Questions with passages, and right and wrong answers to them: RAGTruth's when at hand, else our own few."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "SPANLEDGER_DEMO_DATA"
OWN_SET = "own"  # the value of it that asks for our own set
RAGTRUTH = Path("ragtruth") / "ragtruth_qa.jsonl"
OWN = Path(__file__).with_name("cases.json")
CAREFUL = ("gpt-4-0613", "gpt-3.5-turbo-0613")  # whose answers RAGTruth's annotators seldom marked


@dataclass(frozen=True, slots=True)
class DemoCase:
    """One question; ``right`` and ``backup`` stand on the passages, ``wrong`` claims what is not in them."""

    question: str
    passages: tuple[str, ...]
    right: str
    backup: str
    wrong: str


@dataclass(frozen=True, slots=True)
class CaseSet:
    """All cases and where they are from, for the viewer to know."""

    cases: tuple[DemoCase, ...]
    source: str


def load_cases(folder: Path | None) -> CaseSet:
    """RAGTruth from a data folder, or our own set where there is none.

    Raises:
        ValueError: the folder's file is not RAGTruth's.
    """
    if folder is None:
        return CaseSet(_own(), "our own small set (SPANLEDGER_DEMO_DATA names a folder with RAGTruth)")
    rows = [json.loads(line) for line in (folder / RAGTRUTH).read_text().splitlines() if line.strip()]
    cases = tuple(case for row in rows if (case := ragtruth_case(row)))
    if not cases:
        raise ValueError(f"{folder / RAGTRUTH} holds no question with right and wrong answers")
    return CaseSet(cases, f"RAGTruth, {len(cases)} questions with answers that people labelled")


def ragtruth_case(row: Mapping[str, Any]) -> DemoCase | None:
    """One RAGTruth question; None when its answers are all marked, or none is.

    ``wrong`` is the answer in which annotators marked the most text as hallucinated; the other two are unmarked ones.
    """
    answers: Sequence[Mapping[str, Any]] = row["responses"]
    unmarked = sorted((a for a in answers if not a["labels"]), key=_care)
    marked = sorted((a for a in answers if a["labels"]), key=_marked_text)
    if not unmarked or not marked:
        return None
    passages = tuple(p.strip() for p in row["source"]["passages"].split("\n\n") if p.strip())
    right, backup = unmarked[0]["response"], unmarked[1 % len(unmarked)]["response"]
    return DemoCase(row["source"]["question"], passages, right, backup, marked[-1]["response"])


def _marked_text(answer: Mapping[str, Any]) -> int:
    """How many characters of an answer the annotators marked."""
    return sum(label["end"] - label["start"] for label in answer["labels"])


def _care(answer: Mapping[str, Any]) -> int:
    model = str(answer["model"])
    return CAREFUL.index(model) if model in CAREFUL else len(CAREFUL)


def _own() -> tuple[DemoCase, ...]:
    rows: list[dict[str, Any]] = json.loads(OWN.read_text())
    return tuple(
        DemoCase(row["question"], tuple(row["passages"]), row["right"], row["backup"], row["wrong"])
        for row in rows
    )


def data_folder(environment: Mapping[str, str] = os.environ, here: Path | None = None) -> Path | None:
    """The folder that holds ``ragtruth/``: the one named, or ``shared/data`` beside the checkout.

    Raises:
        ValueError: the folder that ``SPANLEDGER_DEMO_DATA`` names has no RAGTruth in it.
    """
    named = environment.get(VARIABLE)
    if named == OWN_SET:
        return None
    if named:
        if not (Path(named) / RAGTRUTH).is_file():
            raise ValueError(f"{VARIABLE}={named!r} is refused: {RAGTRUTH} is not in it")
        return Path(named)
    root = here or Path(__file__).resolve().parents[4]
    beside = [root.parent / "shared" / "data", root.parent.parent / "shared" / "data"]
    return next((folder for folder in beside if (folder / RAGTRUTH).is_file()), None)
