"""The scorer contract: a case goes in, results come out, and a failure is a value, not an exception."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from spanledger.records import ScoreStatus

Bounds = tuple[float, float]
"""Smallest and largest value a scorer may give; anything outside becomes ``invalid``."""

_ROUNDING = 1e-9  # what floating point may add to a ratio without making it out of range


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One retrieved source, as a retrieval span recorded it. Times are ns since the epoch, UTC."""

    content: str
    id: str = ""
    source: str = ""
    score: float | None = None
    updated_at: int | None = None
    indexed_at: int | None = None
    version: str = ""
    superseded_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool: what was asked, and what came back when it is known."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation."""

    role: str
    content: str
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a scorer may look at. Everything but the answer may be missing.

    ``contexts`` are the retrieved texts in rank order; given ``documents`` only, their contents.
    ``metadata`` carries measured facts by their column names (``duration_ns``, ``cost_total``,
    ``start_time``, ...) and whatever a dataset adds. ``cluster`` groups cases that are not
    independent (one source document, one conversation).
    """

    question: str = ""
    answer: str = ""
    contexts: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    reference: str = ""
    tools: tuple[ToolCall, ...] = ()
    expected_tools: tuple[ToolCall, ...] = ()
    turns: tuple[Turn, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""
    cluster: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.contexts, str):
            raise TypeError("contexts is a sequence of texts, not one text")
        texts = tuple(self.contexts) or tuple(document.content for document in self.documents)
        object.__setattr__(self, "contexts", texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One verdict. ``value`` is finite, and None whenever ``status`` is anything but ``ok``."""

    name: str
    value: float | None = None
    label: str = ""
    explanation: str = ""
    status: ScoreStatus = "ok"
    scorer: str = ""
    scorer_version: str = ""
    judge_id: str = ""
    higher_is_better: bool = True
    cost: Decimal | None = None


class JudgeFailure(Exception):
    """A judge gave no usable verdict. The runner turns it into a result of this status."""

    def __init__(self, status: ScoreStatus, message: str) -> None:
        super().__init__(message)
        self.status: ScoreStatus = status


Outcome = Result | Sequence[Result]
Answered = Outcome | Awaitable[Outcome]


class Scorer:
    """Base of scorers: subclass it (a dataclass serves well) and give it ``score``.

    ``version`` changes whenever the same case may get another value; scores of different versions
    are never compared. ``bounds`` None means any finite number.
    """

    name: str = ""
    version: str = "1"
    higher_is_better: bool = True
    bounds: Bounds | None = (0.0, 1.0)
    needs_judge: bool = False

    def score(self, case: Case) -> Answered:
        """Judge one case; may be a coroutine. Raise JudgeFailure or return a status, never guess."""
        raise NotImplementedError

    def result(
        self, value: float | None, *, label: str = "", explanation: str = "", name: str = ""
    ) -> Result:
        """A verdict of this scorer; ``value`` None with a label is a categorical verdict."""
        made = Result(name=name or self.name, value=value, label=label, explanation=explanation)
        return self.signed(made)

    def refuse(self, status: ScoreStatus, why: str) -> Result:
        """No verdict, and the reason."""
        return self.signed(Result(name=self.name, status=status, explanation=why))

    def signed(self, result: Result) -> Result:
        """The result with this scorer's name, version and direction."""
        return replace(
            result,
            scorer=self.name,
            scorer_version=self.version,
            higher_is_better=self.higher_is_better,
        )


ScoreFunction = Callable[[Case], Any]


@dataclass(kw_only=True)
class FunctionScorer(Scorer):
    """A scorer made of a function; see ``scorer``."""

    function: ScoreFunction
    name: str
    version: str = "1"
    higher_is_better: bool = True
    bounds: Bounds | None = (0.0, 1.0)

    async def score(self, case: Case) -> Outcome:
        """Call the function and read its answer: number, bool, label, Result, or None."""
        answer = self.function(case)
        return self._read(await answer if inspect.isawaitable(answer) else answer)

    def _read(self, answer: object) -> Outcome:
        if answer is None:
            return self.refuse("not_applicable", "the scorer had nothing to say about this case")
        if isinstance(answer, Result):
            return self.signed(answer)
        if isinstance(answer, str):
            return self.result(None, label=answer)
        if isinstance(answer, bool | int | float):
            return self.result(float(answer))
        if isinstance(answer, list | tuple):
            parts = cast("Sequence[object]", answer)
            return [self.signed(part) for part in parts if isinstance(part, Result)]
        return self.refuse("invalid", f"a scorer returns a number, not {type(answer).__name__}")


def scorer(
    *, name: str = "", version: str = "1", higher_is_better: bool = True, bounds: Bounds | None = (0.0, 1.0)
) -> Callable[[ScoreFunction], FunctionScorer]:
    """Make a scorer of a function ``case -> number | bool | label | Result | None``."""

    def made(function: ScoreFunction) -> FunctionScorer:
        return FunctionScorer(
            function=function,
            name=name or function.__name__,
            version=version,
            higher_is_better=higher_is_better,
            bounds=bounds,
        )

    return made


def checked(result: Result, bounds: Bounds | None) -> Result:
    """Hold a result to the contract: a value that is no number within bounds becomes a status."""
    if result.status != "ok":
        return replace(result, value=None)
    if result.value is None:
        if result.label:
            return result
        return replace(result, status="no_verdict", explanation=result.explanation or "empty verdict")
    value = float(result.value)
    if not math.isfinite(value):
        return replace(result, value=None, status="invalid", explanation=f"value is {value}")
    if bounds is None:
        return replace(result, value=value)
    low, high = bounds
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        why = f"value {value:g} is outside {low:g} to {high:g}"
        return replace(result, value=None, status="invalid", explanation=why)
    return replace(result, value=min(max(value, low), high))
