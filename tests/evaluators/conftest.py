"""What evaluator tests share: human-labelled answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spanledger_evaluators import Case

from .judges import JudgeServer, serving


@dataclass(frozen=True)
class Labelled:
    """An answer and whether people found nothing made up in it."""

    case: Case
    good: bool
    model: str


@pytest.fixture(scope="session")
def ragtruth(test_data: Path) -> list[Labelled]:
    """RAGTruth QA: 817 answers of six models to 139 questions."""
    file = test_data / "ragtruth" / "ragtruth_qa.jsonl"
    if not file.is_file():
        pytest.skip(f"no {file}")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        Labelled(
            Case(
                question=row["source"]["question"],
                answer=answer["response"],
                contexts=(row["source"]["passages"],),
                cluster=str(row["source_id"]),
            ),
            good=not answer["labels"],
            model=answer["model"],
        )
        for row in rows
        for answer in row["responses"]
    ]


@pytest.fixture
def judge_server() -> Iterator[JudgeServer]:
    """A judge's server that works until it is told otherwise."""
    with serving() as server:
        yield server
