"""Names in, scorers out: the built-in ones and those that other packages register.

A package registers its scorers in entry-point group ``spanledger.scorers``: a name, and a Scorer
object, or a Scorer class. A class with ``needs_judge`` is made with ``judge=``, others with nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from .contract import Scorer

if TYPE_CHECKING:
    from .judge import Judge

GROUP = "spanledger.scorers"

# Written as text, so that looking a name up imports one module and no evaluation library.
_BUILT_IN = {
    "groundedness": "spanledger_evaluators.scorers.groundedness:Groundedness",
    "exact_match": "spanledger_evaluators.scorers.matching:ExactMatch",
    "fuzzy_match": "spanledger_evaluators.scorers.matching:FuzzyMatch",
    "token_f1": "spanledger_evaluators.scorers.matching:TokenF1",
    "json_schema": "spanledger_evaluators.scorers.matching:JsonSchema",
    "tool_calls_match": "spanledger_evaluators.scorers.matching:ToolCallsMatch",
    "length": "spanledger_evaluators.scorers.matching:AnswerLength",
    "latency_s": "spanledger_evaluators.scorers.matching:LATENCY",
    "cost_usd": "spanledger_evaluators.scorers.matching:COST",
    "citations": "spanledger_evaluators.scorers.content:Citations",
    "refusal": "spanledger_evaluators.scorers.content:Refusal",
    "personal_data": "spanledger_evaluators.scorers.content:PersonalData",
    "same_language": "spanledger_evaluators.scorers.content:SameLanguage",
    "precision_at_k": "spanledger_evaluators.scorers.retrieval:PrecisionAtK",
    "recall_at_k": "spanledger_evaluators.scorers.retrieval:RecallAtK",
    "hit_at_k": "spanledger_evaluators.scorers.retrieval:HitAtK",
    "reciprocal_rank": "spanledger_evaluators.scorers.retrieval:ReciprocalRank",
    "ndcg_at_k": "spanledger_evaluators.scorers.retrieval:NdcgAtK",
    "source_age_days": "spanledger_evaluators.scorers.freshness:SourceAge",
    "stale_hit_rate": "spanledger_evaluators.scorers.freshness:StaleHits",
    "index_lag_days": "spanledger_evaluators.scorers.freshness:IndexLag",
    "superseded_source_cited": "spanledger_evaluators.scorers.freshness:SupersededCited",
    "context_relevance": "spanledger_evaluators.rag:ContextRelevance",
    "faithfulness": "spanledger_evaluators.rag:Faithfulness",
    "context_precision": "spanledger_evaluators.rag:ContextPrecision",
    "context_recall": "spanledger_evaluators.rag:ContextRecall",
    "answer_relevancy": "spanledger_evaluators.rag:AnswerRelevancy",
}
_FAMILIES = {
    "ragas.": "spanledger_evaluators.adapters.ragas",
    "deepeval.": "spanledger_evaluators.adapters.deepeval",
}
_RAGAS = (
    "faithfulness",
    "context_precision",
    "context_recall",
    "answer_relevancy",
    "factual_correctness",
    "noise_sensitivity",
)
_DEEPEVAL = (
    "faithfulness",
    "answer_relevancy",
    "hallucination",
    "contextual_precision",
    "contextual_recall",
    "contextual_relevancy",
    "bias",
    "toxicity",
    "conversation_completeness",
    "turn_relevancy",
    "knowledge_retention",
)
_ADAPTED = frozenset({*(f"ragas.{name}" for name in _RAGAS), *(f"deepeval.{name}" for name in _DEEPEVAL)})


class UnknownScorer(LookupError):
    """No scorer has this name."""


class JudgeNeeded(ValueError):
    """The scorer asks a model, and none is configured."""


def names() -> list[str]:
    """Every name that ``build`` knows."""
    return sorted({*_BUILT_IN, *_ADAPTED, *(point.name for point in entry_points(group=GROUP))})


def build(name: str, judge: Judge | None = None) -> Scorer:
    """The scorer of that name; those that ask a model get the judge.

    Raises:
        UnknownScorer: nothing is registered under the name.
        JudgeNeeded: it needs a judge and got None.
        ImportError: its library is not installed.
    """
    if name in _ADAPTED:
        family = next(prefix for prefix in _FAMILIES if name.startswith(prefix))
        return import_module(_FAMILIES[family]).make(name, _needed(name, judge))
    made = _factory(name)
    if isinstance(made, Scorer):
        return made
    if not getattr(made, "needs_judge", True):
        return made()
    return made(judge=_needed(name, judge))


def _needed(name: str, judge: Judge | None) -> Judge:
    if judge is None:
        raise JudgeNeeded(f"scorer {name!r} asks a model: name a judge")
    return judge


def _factory(name: str) -> Scorer | Callable[..., Scorer]:
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP, name=name):
        found: Any = point.load()
        return found
    raise UnknownScorer(f"there is no scorer {name!r}; known: {', '.join(names())}")
