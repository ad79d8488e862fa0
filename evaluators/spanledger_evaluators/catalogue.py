"""Names and options in, scorers out: the built-in ones and those that other packages register.

A package registers its scorers in entry-point group ``spanledger.scorers``: a name, and a Scorer
object, or a Scorer class. A class with ``needs_judge`` is made with ``judge=``, others with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
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
    "regex": "spanledger_evaluators.scorers.matching:Matches",
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
    "deepeval.g_eval": "spanledger_evaluators.adapters.geval:GEval",
    "deepeval.tool_correctness": "spanledger_evaluators.adapters.deepeval:tool_correctness",
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
    "role_adherence",
)
_ADAPTED = frozenset({*(f"ragas.{name}" for name in _RAGAS), *(f"deepeval.{name}" for name in _DEEPEVAL)})


class CannotBuild(Exception):
    """There is no such scorer to be had; the message says why."""


class UnknownScorer(CannotBuild):
    """No scorer has this name."""


class ScorerOptions(CannotBuild):
    """The options do not fit the scorer; the message names what is wrong and what there is."""


class JudgeNeeded(CannotBuild):
    """The scorer asks a model, and none is configured."""


def names() -> list[str]:
    """Every name that ``build`` knows."""
    return sorted({*_BUILT_IN, *_ADAPTED, *(point.name for point in entry_points(group=GROUP))})


def build(name: str, judge: Judge | None = None, options: Mapping[str, Any] | None = None) -> Scorer:
    """The scorer of that name; those that ask a model get the judge.

    ``options`` are what the scorer takes (``{"pattern": "..."}``, ``{"k": 5}``); with ``scorer`` among them, ``name``
    is a name of your own for that scorer, as ``{"scorer": "deepeval.g_eval", "criteria": "The answer is polite."}``.

    Raises:
        UnknownScorer: nothing is registered under the name.
        JudgeNeeded: it needs a judge and got None.
        ScorerOptions: an option is missing, unknown or of the wrong kind.
        ImportError: its library is not installed.
    """
    given = dict(options or {})
    known = str(given.pop("scorer", name))
    if known != name:
        given["name"] = name
    return _made(known, judge, given)


def _made(known: str, judge: Judge | None, given: dict[str, Any]) -> Scorer:
    if known in _ADAPTED:
        family = next(prefix for prefix in _FAMILIES if known.startswith(prefix))
        made = import_module(_FAMILIES[family]).make(known, _needed(known, judge))
        return _with(made, known, given)
    found = _factory(known)
    if isinstance(found, Scorer):
        return _with(found, known, given)
    if getattr(found, "needs_judge", True):
        given["judge"] = _needed(known, judge)
    try:
        return found(**given)
    except (TypeError, ValueError) as wrong:
        raise ScorerOptions(f"scorer {known!r}: {_readable(wrong, found)}") from wrong


def _with(made: Scorer, known: str, given: dict[str, Any]) -> Scorer:
    if not given:
        return made
    allowed = sorted(entry.name for entry in fields(made) if entry.init) if is_dataclass(made) else []
    unknown = sorted(set(given) - set(allowed))
    if unknown or not is_dataclass(made):
        raise ScorerOptions(f"scorer {known!r} has no option {', '.join(unknown)}")
    return replace(made, **given)


def _readable(wrong: Exception, found: Callable[..., Scorer]) -> str:
    """What Python says of a call that does not fit, and which options there are."""
    told = str(wrong).removeprefix(f"{getattr(found, '__name__', '')}.__init__() ")
    options = [entry.name for entry in fields(found) if entry.init] if is_dataclass(found) else []
    shown = [option for option in options if option not in ("judge", "version", "bounds", "higher_is_better")]
    return f"{told}; options: {', '.join(shown)}" if shown else told


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
