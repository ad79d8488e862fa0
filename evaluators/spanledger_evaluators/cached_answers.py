"""A question, the answer a cache gave (or would have given) and a fresh one in; whether the first was right, out."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from .contract import Case, Result, Scorer
from .judge import Judge
from .judge.quoting import quoted
from .text import words

NAME = "cache_hit_correct"
SAME_TEXT = "same_text"
"""Label of a verdict that no judge was needed for."""
DIFFERENT = "different_text"
"""Label of a verdict that only a judge or a person could give: counts as wrong until one does."""

_TASK = (
    "A cache answered a question with an answer that was written for an earlier question, which may only look alike."
    " The fresh answer was written for this very question; it may be worded otherwise, longer or shorter, and"
    " it may be wrong itself. Is the cached answer a right answer to the question? Say no when it is about"
    " another thing, number, date, unit, person, place, product, language, direction or negation than the question"
    " asks about, when it contradicts the fresh answer in substance, or when it leaves out what was asked for."
    " Differences of style alone do not matter."
)


class Correct(BaseModel):
    """Reason first, so that the verdict follows it."""

    reason: str
    correct: bool


@dataclass(kw_only=True)
class CachedAnswer(Scorer):
    """1 where the cached answer (``answer``) is right, 0 where not; ``reference`` is the fresh answer.

    Equal texts (but for case, punctuation and spaces) are right without a judge. Without a judge all others are 0,
    label ``different_text``: the safe side, until a person has looked.
    """

    judge: Judge | None = None
    name: str = NAME
    version: str = "1"
    needs_judge: bool = True

    async def score(self, case: Case) -> Result:
        """``not_applicable`` without one of the texts; raises JudgeFailure without a sound verdict."""
        if not case.question or not case.answer or not case.reference:
            return self.refuse("not_applicable", "the question or one of the answers was not recorded")
        if words(case.answer) == words(case.reference):
            return self.result(1.0, label=SAME_TEXT)
        if self.judge is None:
            return self.result(0.0, label=DIFFERENT, explanation="no judge is named to compare the texts")
        prompt = "\n\n".join(
            [
                _TASK,
                quoted("question", case.question),
                quoted("cached", case.answer),
                quoted("fresh", case.reference),
            ]
        )
        found = await self.judge.ask(prompt, Correct)
        return self.result(float(found.correct), explanation=found.reason[:1000])
