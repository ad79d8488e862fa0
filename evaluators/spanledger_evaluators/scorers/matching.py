"""Scorers that compare an answer with what was expected of it: a case in, a verdict without a model out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import regex

from spanledger_evaluators.contract import Bounds, Case, Result, Scorer
from spanledger_evaluators.text import content_stems, words


@dataclass(kw_only=True)
class ExactMatch(Scorer):
    """1 when answer and reference are equal but for case, punctuation and spaces."""

    name: str = "exact_match"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` without a reference."""
        if not case.reference:
            return self.refuse("not_applicable", "the case has no reference")
        return self.result(float(words(case.answer) == words(case.reference)))


@dataclass(kw_only=True)
class FuzzyMatch(Scorer):
    """How alike answer and reference are as strings: 2 M / T of matching characters (Ratcliff and Obershelp)."""

    name: str = "fuzzy_match"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` without a reference."""
        if not case.reference:
            return self.refuse("not_applicable", "the case has no reference")
        pair = (" ".join(words(case.answer)), " ".join(words(case.reference)))
        return self.result(SequenceMatcher(None, *pair, autojunk=False).ratio())


@dataclass(kw_only=True)
class TokenF1(Scorer):
    """Harmonic mean of the precision and recall of the answer's words against the reference's (as in SQuAD)."""

    name: str = "token_f1"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` without a reference that holds words."""
        wanted, given = content_stems(case.reference), content_stems(case.answer)
        if not wanted:
            return self.refuse("not_applicable", "the case has no reference")
        shared = sum(min(wanted.count(word), given.count(word)) for word in set(wanted))
        return self.result(2 * shared / (len(wanted) + len(given)))


@dataclass(kw_only=True)
class Matches(Scorer):
    """1 when the answer matches ``pattern`` (or, with ``forbidden``, when it does not)."""

    pattern: str
    forbidden: bool = False
    timeout_s: float = 1.0
    name: str = "regex"
    version: str = "1"
    _compiled: regex.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self._compiled = regex.compile(self.pattern)
        except regex.error as wrong:
            raise ValueError(f"pattern {self.pattern!r}: {wrong}") from wrong

    def score(self, case: Case) -> Result:
        """An empty answer matches or not like any other; ``timeout`` when the pattern needs longer than allowed."""
        try:
            found = self._compiled.search(case.answer, timeout=self.timeout_s)
        except TimeoutError:
            return self.refuse("timeout", f"the pattern was not done after {self.timeout_s:g} s: simplify it")
        where = f"found {found.group(0)[:100]!r}" if found else "not found"
        return self.result(float(bool(found) != self.forbidden), explanation=where)


@dataclass(kw_only=True)
class JsonSchema(Scorer):
    """1 when the answer is JSON and, where a schema is given (or stands in the metadata), fits it."""

    schema: dict[str, Any] | None = None
    name: str = "json_schema"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """0 with the first error; needs ``jsonschema`` only where there is a schema."""
        try:
            data = json.loads(case.answer)
        except ValueError as wrong:
            return self.result(0.0, explanation=f"no JSON: {wrong}")
        schema = self.schema or case.metadata.get("json_schema")
        if schema is None:
            return self.result(1.0)
        from jsonschema import Draft202012Validator

        errors = sorted(Draft202012Validator(schema).iter_errors(data), key=lambda error: error.json_path)  # pyright: ignore[reportUnknownMemberType]
        if errors:
            return self.result(0.0, explanation=f"{errors[0].json_path}: {errors[0].message}"[:500])
        return self.result(1.0)


@dataclass(kw_only=True)
class ToolCallsMatch(Scorer):
    """Share of the expected tool calls that were made (name and arguments), less those made beyond them: F1."""

    arguments: bool = True
    name: str = "tool_calls_match"
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` when no tools were expected."""
        if not case.expected_tools:
            return self.refuse("not_applicable", "the case expects no tools")
        wanted = [self._key(call.name, dict(call.arguments)) for call in case.expected_tools]
        made = [self._key(call.name, dict(call.arguments)) for call in case.tools]
        hits = sum(min(wanted.count(key), made.count(key)) for key in set(wanted))
        missing = sorted(set(wanted) - set(made))
        told = f"missing: {', '.join(missing)}" if missing else ""
        return self.result(2 * hits / (len(wanted) + len(made)), explanation=told[:500])

    def _key(self, name: str, arguments: dict[str, Any]) -> str:
        return f"{name}{json.dumps(arguments, sort_keys=True, default=str)}" if self.arguments else name


@dataclass(kw_only=True)
class Measured(Scorer):
    """A fact that was measured about the call, as it stands in the case's metadata; lower is better."""

    fact: str
    scale: float = 1.0
    name: str
    version: str = "1"
    higher_is_better: bool = False
    bounds: Bounds | None = (0.0, float("inf"))

    def score(self, case: Case) -> Result:
        """``not_applicable`` when it is unknown."""
        value = case.metadata.get(self.fact)
        if value is None:
            return self.refuse("not_applicable", f"{self.fact} is unknown")
        return self.result(float(value) * self.scale)


@dataclass(kw_only=True)
class AnswerLength(Scorer):
    """Words in the answer. No judgement, but the baseline that any quality score has to beat."""

    name: str = "length"
    version: str = "1"
    higher_is_better: bool = False
    bounds: Bounds | None = (0.0, float("inf"))

    def score(self, case: Case) -> Result:
        """Always a number."""
        return self.result(float(len(words(case.answer))))


LATENCY = Measured(name="latency_s", fact="duration_ns", scale=1e-9)
"""Seconds from request to the end of the answer."""

COST = Measured(name="cost_usd", fact="cost_total")
"""USD of the call itself."""
