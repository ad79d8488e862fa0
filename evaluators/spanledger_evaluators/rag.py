"""The four RAG formulas of the ragas paper (arXiv 2309.15217) and its library, in our own words and checks.

A case and a judge in; a value in 0..1 out. Verdicts are numbered, so that a missing or an invented
one is noticed. They also stand in for the ragas scorers of the same names where ragas does not import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from .contract import Case, JudgeFailure, Result, Scorer
from .judge import Judge
from .judge.quoting import quoted
from .text import sentences

QUESTIONS = 3  # asked back per answer, as in the paper


class Claims(BaseModel):
    """Statements taken out of a text."""

    claims: list[str]


class Verdict(BaseModel):
    """Yes or no about the item of this number."""

    number: int
    reason: str
    yes: bool


class Verdicts(BaseModel):
    """One verdict for each item."""

    verdicts: list[Verdict]


class Questions(BaseModel):
    """Questions that a text would answer; ``evasive`` when it answers none."""

    questions: list[str]
    evasive: bool


@dataclass(kw_only=True)
class JudgedScorer(Scorer):
    """What the four have in common: a judge, and the fields of a case they cannot do without."""

    judge: Judge
    name: str = ""
    version: str = "1"
    needs_judge: bool = True
    needs: tuple[str, ...] = ()

    async def score(self, case: Case) -> Result:
        """``not_applicable`` for a case that lacks a field; raises JudgeFailure without a sound verdict."""
        missing = [field for field in self.needs if not getattr(case, field)]
        if missing:
            return self.refuse("not_applicable", f"the case has no {', '.join(missing)}")
        value, explanation = await self.measure(case)
        return self.result(value, explanation=explanation[:1000])

    async def measure(self, case: Case) -> tuple[float, str]:
        """The value and how it came about."""
        raise NotImplementedError

    async def judged(self, task: str, items: Sequence[str], *quotes: str) -> list[Verdict]:
        """One verdict for each item, in their order."""
        listed = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        prompt = "\n\n".join(
            [task, *quotes, quoted("items", listed), f"Give {len(items)} numbered verdicts."]
        )
        answer = await self.judge.ask(prompt, Verdicts, check=_one_each(len(items)))
        return sorted(answer.verdicts, key=lambda verdict: verdict.number)


@dataclass(kw_only=True)
class Faithfulness(JudgedScorer):
    """Claims of the answer that follow from the contexts / all its claims."""

    name: str = "faithfulness"
    needs: tuple[str, ...] = ("question", "answer", "contexts")

    async def measure(self, case: Case) -> tuple[float, str]:
        """Two calls: take the claims out of the answer, then judge each."""
        task = "Break the answer into short statements that stand alone: no pronouns, one fact each, nothing added."
        prompt = "\n\n".join([task, quoted("question", case.question), quoted("answer", case.answer)])
        claims = (await self.judge.ask(prompt, Claims)).claims
        if not claims:
            raise JudgeFailure("no_verdict", "the judge found no claims in the answer")
        verdicts = await self.judged(
            "For each statement: can it be inferred from the sources alone? yes or no, with the reason.",
            claims,
            quoted("sources", "\n\n".join(case.contexts)),
        )
        unsupported = [claims[verdict.number - 1] for verdict in verdicts if not verdict.yes]
        return 1 - len(unsupported) / len(claims), "; ".join(f"unsupported: {claim}" for claim in unsupported)


@dataclass(kw_only=True)
class ContextPrecision(JudgedScorer):
    """Mean over relevant contexts of the precision at their rank; 0 when none is relevant."""

    name: str = "context_precision"
    needs: tuple[str, ...] = ("question", "contexts", "reference")

    async def measure(self, case: Case) -> tuple[float, str]:
        """One call: is each source useful for the reference answer?"""
        verdicts = await self.judged(
            "For each source: was it useful in arriving at the reference answer? yes or no, with the reason.",
            case.contexts,
            quoted("question", case.question),
            quoted("reference", case.reference),
        )
        return average_precision([verdict.yes for verdict in verdicts]), _told(verdicts)


@dataclass(kw_only=True)
class ContextRecall(JudgedScorer):
    """Sentences of the reference that the contexts account for / all its sentences."""

    name: str = "context_recall"
    needs: tuple[str, ...] = ("question", "contexts", "reference")

    async def measure(self, case: Case) -> tuple[float, str]:
        """One call; the sentences are cut here, so that their number is known."""
        items = sentences(case.reference)
        if not items:
            raise JudgeFailure("no_verdict", "the reference holds no sentence")
        verdicts = await self.judged(
            "For each sentence: can it be attributed to the sources? yes or no, with the reason.",
            items,
            quoted("question", case.question),
            quoted("sources", "\n\n".join(case.contexts)),
        )
        return sum(verdict.yes for verdict in verdicts) / len(verdicts), _told(verdicts)


@dataclass(kw_only=True)
class AnswerRelevancy(JudgedScorer):
    """Mean cosine between the question and questions the answer would answer; 0 for an evasive answer."""

    name: str = "answer_relevancy"
    needs: tuple[str, ...] = ("question", "answer")

    async def measure(self, case: Case) -> tuple[float, str]:
        """One call for the questions and one for their vectors."""
        task = f"Write {QUESTIONS} questions that this answer would answer; say whether it is evasive."
        found = await self.judge.ask(
            f"{task}\n\n{quoted('answer', case.answer)}", Questions, check=_questions
        )
        if found.evasive:
            return 0.0, "the answer is evasive"
        own, *others = await self.judge.embed([case.question, *found.questions])
        value = sum(cosine(own, other) for other in others) / len(others)
        return max(0.0, value), "; ".join(found.questions)


@dataclass(kw_only=True)
class ContextRelevance(JudgedScorer):
    """Mean cosine between the question and each context, by the judge's embedding model."""

    name: str = "context_relevance"
    needs: tuple[str, ...] = ("question", "contexts")

    async def measure(self, case: Case) -> tuple[float, str]:
        """One call for the vectors; no verdict is asked for."""
        own, *others = await self.judge.embed([case.question, *case.contexts])
        found = [max(0.0, cosine(own, other)) for other in others]
        return sum(found) / len(found), ", ".join(f"{value:.3f}" for value in found)


def average_precision(relevant: Sequence[bool]) -> float:
    """Mean of precision@k over the ranks k of relevant items; 0 when none is."""
    hits = 0
    total = 0.0
    for rank, is_relevant in enumerate(relevant, 1):
        hits += is_relevant
        total += hits / rank if is_relevant else 0.0
    return total / hits if hits else 0.0


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Cosine of two vectors; 0 when one of them has no length. Raises ValueError for unequal sizes."""
    product = sum(a * b for a, b in zip(left, right, strict=True))
    length = math.hypot(*left) * math.hypot(*right)
    return min(1.0, product / length) if length else 0.0


FORMULAS: dict[str, type[JudgedScorer]] = {
    "faithfulness": Faithfulness,
    "context_precision": ContextPrecision,
    "context_recall": ContextRecall,
    "answer_relevancy": AnswerRelevancy,
}


def instead_of(name: str, judge: Judge) -> Scorer:
    """Our formula under a ragas scorer's name, its version marked; raises ImportError where there is none."""
    formula = FORMULAS.get(name.removeprefix("ragas."))
    if formula is None:
        raise ImportError(f"{name} needs ragas, which does not import here")
    return formula(judge=judge, name=name, version="builtin-1")


def _one_each(count: int) -> Callable[[Verdicts], None]:
    def check(answer: Verdicts) -> None:
        numbers = sorted(verdict.number for verdict in answer.verdicts)
        if numbers != list(range(1, count + 1)):
            raise ValueError(f"verdicts for {numbers}, where 1 to {count} were asked for")

    return check


def _questions(answer: Questions) -> None:
    if len(answer.questions) != QUESTIONS or not all(question.strip() for question in answer.questions):
        raise ValueError(f"{len(answer.questions)} questions where {QUESTIONS} were asked for")


def _told(verdicts: Sequence[Verdict]) -> str:
    return " | ".join(
        f"{verdict.number}: {'yes' if verdict.yes else 'no'}, {verdict.reason}" for verdict in verdicts
    )
