"""deepeval metrics over our judge: a case in, their formula's value out, their gaps closed.

deepeval calls an empty list of verdicts a perfect score and never compares counts; ``soundness``
refuses both. Since its version 4 every score here is better when higher.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from spanledger_evaluators.contract import Case, JudgeFailure, Result, Scorer
from spanledger_evaluators.judge import Judge

from .quiet import quietly
from .soundness import Session

Feed = Callable[[Case], dict[str, Any]]


def _single(*names: str) -> Feed:
    """Fill a single-turn test case from the named fields of a case."""
    fields: dict[str, Callable[[Case], Any]] = {
        "input": lambda case: case.question,
        "actual_output": lambda case: case.answer,
        "expected_output": lambda case: case.reference,
        "context": lambda case: list(case.contexts),
        "retrieval_context": lambda case: list(case.contexts),
        "tools_called": lambda case: _tools(case.tools),
        "expected_tools": lambda case: _tools(case.expected_tools),
    }
    return lambda case: {name: fields[name](case) for name in names}


@dataclass(frozen=True, slots=True)
class Metric:
    """How one of their classes is made and fed.

    ``counted`` names the list whose length the verdicts must have; ``each_context``: one verdict for
    every context instead. ``turns``: it judges a conversation; ``role``: in a role that the case names in its
    metadata. ``faults``: the judge lists what is wrong, by number, so that an empty list is a verdict.
    """

    attribute: str
    feed: Feed | None = None
    counted: str = ""
    each_context: bool = False
    turns: bool = False
    role: bool = False
    faults: bool = False
    reasons: bool = True
    options: dict[str, Any] = field(default_factory=dict[str, Any])


_QA = ("input", "actual_output")
METRICS = {
    "deepeval.faithfulness": Metric(
        "FaithfulnessMetric",
        _single(*_QA, "retrieval_context"),
        counted="claims",
        options={"penalize_ambiguous_claims": True},
    ),
    "deepeval.answer_relevancy": Metric("AnswerRelevancyMetric", _single(*_QA), counted="statements"),
    "deepeval.hallucination": Metric("HallucinationMetric", _single(*_QA, "context"), each_context=True),
    "deepeval.contextual_precision": Metric(
        "ContextualPrecisionMetric",
        _single(*_QA, "expected_output", "retrieval_context"),
        each_context=True,
    ),
    "deepeval.contextual_recall": Metric(
        "ContextualRecallMetric", _single(*_QA, "expected_output", "retrieval_context")
    ),
    "deepeval.contextual_relevancy": Metric("ContextualRelevancyMetric", _single(*_QA, "retrieval_context")),
    "deepeval.bias": Metric("BiasMetric", _single(*_QA), counted="opinions"),
    "deepeval.toxicity": Metric("ToxicityMetric", _single(*_QA), counted="opinions"),
    "deepeval.conversation_completeness": Metric("ConversationCompletenessMetric", turns=True),
    "deepeval.turn_relevancy": Metric("TurnRelevancyMetric", turns=True),
    "deepeval.knowledge_retention": Metric("KnowledgeRetentionMetric", turns=True),
    "deepeval.role_adherence": Metric("RoleAdherenceMetric", turns=True, role=True, faults=True),
}
_TOOLS = Metric("ToolCorrectnessMetric", _single(*_QA, "tools_called", "expected_tools"))
ROLE = "role"
"""Metadata of a case: who the assistant shall be, as ``a bank's clerk who never gives advice on shares``."""


@dataclass(kw_only=True)
class DeepevalScorer(Scorer):
    """One deepeval metric. Values in 0..1; cases that lack what it needs are ``not_applicable``."""

    name: str
    judge: Judge | None
    metric: Metric
    version: str = ""
    needs_judge: bool = True

    def __post_init__(self) -> None:
        self.version = self.version or f"deepeval-{quietly('deepeval').__version__}"

    async def score(self, case: Case) -> Result:
        """Ask the judge as deepeval does; raises JudgeFailure where there is no sound verdict."""
        library = _library()
        test_case = self._test_case(library, case)
        if isinstance(test_case, Result):
            return test_case
        session = Session(counted=self.metric.counted, faults=self.metric.faults)
        if self.metric.turns:
            session.items = len(test_case.turns)
        session.expected = len(case.contexts) if self.metric.each_context else None
        options = dict(self.metric.options)
        if self.metric.reasons:
            options["include_reason"] = False  # one call less; the verdicts' own reasons are kept
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = getattr(library.metrics, self.metric.attribute)(
                model=library.judge(self.judge, session), async_mode=True, **options
            )
            await metric.a_measure(test_case, _show_indicator=False)
        if self.needs_judge:
            session.require_verdict()
        if metric.score is None:
            return self.refuse("no_verdict", str(metric.error or "deepeval gave no score"))
        return self.result(float(metric.score), explanation=_explanation(metric))

    def _test_case(self, library: _Library, case: Case) -> Any:
        if self.metric.turns:
            return self._conversation(library, case)
        given = self.metric.feed(case) if self.metric.feed else {}
        missing = [name for name, value in given.items() if not value and name != "tools_called"]
        if missing:
            return self.refuse("not_applicable", f"the case has no {', '.join(missing)}")
        return library.cases.LLMTestCase(**{"input": case.question, **given})

    def _conversation(self, library: _Library, case: Case) -> Any:
        turns = [turn for turn in case.turns if turn.role in ("user", "assistant")]
        if case.answer and (not turns or turns[-1].role == "user"):
            turns = [*turns, library.cases.Turn(role="assistant", content=case.answer)]
        if len(turns) < 2:
            return self.refuse("not_applicable", "the case is no conversation")
        made = [library.cases.Turn(role=turn.role, content=turn.content) for turn in turns]
        if not self.metric.role:
            return library.cases.ConversationalTestCase(turns=made)
        role = str(case.metadata.get(ROLE) or "")
        if not role:
            return self.refuse(
                "not_applicable", f"the case does not say the assistant's {ROLE} in its metadata"
            )
        return library.cases.ConversationalTestCase(turns=made, chatbot_role=role)


@dataclass(frozen=True, slots=True)
class _Library:
    metrics: Any
    cases: Any
    judge: Callable[[Judge | None, Session], Any]


@cache
def _library() -> _Library:
    """deepeval, imported once, and the class that lets it use our judge."""
    metrics = quietly("deepeval.metrics")
    cases = quietly("deepeval.test_case")
    base: Any = quietly("deepeval.models").DeepEvalBaseLLM

    class OurJudge(base):
        def __init__(self, judge: Judge | None, session: Session) -> None:
            self.our_judge, self.our_session = judge, session
            base.__init__(self)

        def load_model(self, *_: Any, **__: Any) -> Any:
            return self

        def generate(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError("scored asynchronously only")

        async def a_generate(self, prompt: str, schema: Any = None) -> Any:
            if schema is None or self.our_judge is None:
                raise JudgeFailure("judge_error", "deepeval asked for an answer without a schema")
            try:
                return await self.our_judge.ask(prompt, schema, check=self.our_session.check)
            except TypeError as wrong:  # deepeval would ask again without the schema and hide it
                raise JudgeFailure("judge_error", f"TypeError: {wrong}") from wrong

        def get_model_name(self, *_: Any, **__: Any) -> str:
            return self.our_judge.id if self.our_judge else "none"

    return _Library(metrics, cases, OurJudge)


def make(name: str, judge: Judge) -> Scorer:
    """The scorer of that name; raises ImportError where deepeval is not installed."""
    _library()
    return DeepevalScorer(name=name, judge=judge, metric=METRICS[name])


def tool_correctness(**options: Any) -> Scorer:
    """deepeval's comparison of the tools called with those expected; asks no judge."""
    _library()
    given: dict[str, Any] = {"name": "deepeval.tool_correctness", **options}
    return DeepevalScorer(judge=None, metric=_TOOLS, needs_judge=False, **given)


tool_correctness.needs_judge = False  # pyright: ignore[reportFunctionMemberAccess]


def _tools(calls: Any) -> list[Any]:
    tool = _library().cases.ToolCall
    return [
        tool(name=call.name, input_parameters=dict(call.arguments), output=call.result or None)
        for call in calls
    ]


def _explanation(metric: Any) -> str:
    verdicts: list[Any] = getattr(metric, "verdicts", None) or []
    reasons = [str(getattr(verdict, "reason", "") or "") for verdict in verdicts]
    return str(metric.reason or "") or " | ".join(reason for reason in reasons if reason)[:1000]
