"""Lexical groundedness: answer and contexts in, the coverage of the answer's weakest sentence out."""

from __future__ import annotations

from dataclasses import dataclass

from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.text import content_stems, sentences


@dataclass(kw_only=True)
class Groundedness(Scorer):
    """How far the least supported sentence of the answer is covered by words of its sources.

    Per sentence: (covered + k) / (content words + k), a word being covered when its stem stands in a
    context or in the question; the answer's value is the minimum. ``prior`` k keeps a two-word
    sentence from deciding alone. No model, no cost. It sees words and not meaning: a negation or a
    swapped name passes. Agreement with human labels: see the README of this package.
    """

    name: str = "groundedness"
    version: str = "1"
    prior: float = 3.0

    def score(self, case: Case) -> Result:
        """Value in 0..1; ``not_applicable`` without contexts, ``no_verdict`` without an answer."""
        if not any(context.strip() for context in case.contexts):
            return self.refuse("not_applicable", "no retrieved contexts")
        known = set(content_stems(case.question))
        for context in case.contexts:
            known.update(content_stems(context))
        parts = [(self._coverage(part, known), part) for part in sentences(case.answer)]
        judged = [(value, part) for value, part in parts if value is not None]
        if not judged:
            return self.refuse("no_verdict", "the answer holds no words to check")
        value, weakest = min(judged)
        return self.result(value, explanation=f"least covered: {weakest[:300]}")

    def _coverage(self, sentence: str, known: set[str]) -> float | None:
        stems = content_stems(sentence)
        if not stems:
            return None
        covered = sum(word in known for word in stems)
        return (covered + self.prior) / (len(stems) + self.prior)
