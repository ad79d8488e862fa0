"""ragas metrics over our judge: a case in, their formula's value out, their gaps closed.

ragas checks neither ranges nor counts and calls an empty answer NaN; ``soundness`` refuses all
three. Its retries, clients and telemetry are not used. Where ragas does not import, the scorers of
the same names in ``spanledger_evaluators.rag`` take over, under another version.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.judge import Judge
from spanledger_evaluators.text import sentences

from .quiet import quietly
from .soundness import Session


@dataclass(frozen=True, slots=True)
class Metric:
    """How one of their classes is fed: which fields of a case it needs, under which names."""

    attribute: str
    inputs: dict[str, str]
    embeds: bool = False
    higher_is_better: bool = True


_ANSWERED = {"user_input": "question", "response": "answer"}
METRICS = {
    "ragas.faithfulness": Metric("Faithfulness", {**_ANSWERED, "retrieved_contexts": "contexts"}),
    "ragas.context_precision": Metric(
        "ContextPrecision",
        {"user_input": "question", "reference": "reference", "retrieved_contexts": "contexts"},
    ),
    "ragas.context_recall": Metric(
        "ContextRecall",
        {"user_input": "question", "reference": "reference", "retrieved_contexts": "contexts"},
    ),
    "ragas.answer_relevancy": Metric("AnswerRelevancy", _ANSWERED, embeds=True),
    "ragas.factual_correctness": Metric(
        "FactualCorrectness", {"response": "answer", "reference": "reference"}
    ),
    "ragas.noise_sensitivity": Metric(
        "NoiseSensitivity",
        {**_ANSWERED, "reference": "reference", "retrieved_contexts": "contexts"},
        higher_is_better=False,
    ),
}


@dataclass(kw_only=True)
class RagasScorer(Scorer):
    """One ragas metric. Values in 0..1; cases that lack what it needs are ``not_applicable``."""

    name: str
    judge: Judge
    metric: Metric
    version: str = "ragas-0.4.3"
    needs_judge: bool = True

    def __post_init__(self) -> None:
        self.higher_is_better = self.metric.higher_is_better

    async def score(self, case: Case) -> Result:
        """Ask the judge as ragas does; raises JudgeFailure where there is no sound verdict."""
        given = {theirs: getattr(case, ours) for theirs, ours in self.metric.inputs.items()}
        missing = [self.metric.inputs[name] for name, value in given.items() if not value]
        if missing:
            return self.refuse("not_applicable", f"the case has no {', '.join(missing)}")
        if "retrieved_contexts" in given:
            given["retrieved_contexts"] = list(given["retrieved_contexts"])
        session = Session(most=_most_statements(self.name, case))
        parts: dict[str, Any] = {"llm": _library().judge(self.judge, session)}
        if self.metric.embeds:
            parts["embeddings"] = _library().embedder(self.judge)
        metric = getattr(_library().collections, self.metric.attribute)(**parts)
        _announce_counts(metric, session)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = await metric.ascore(**given)
        session.require_verdict()
        return self.result(float(answer.value), explanation=str(answer.reason or ""))


@dataclass(frozen=True, slots=True)
class _Library:
    collections: Any
    judge: Callable[[Judge, Session], Any]
    embedder: Callable[[Judge], Any]


@cache
def _library() -> _Library:
    """ragas, imported once, and the two classes that let it use our judge."""
    collections = quietly("ragas.metrics.collections")
    base_llm: Any = quietly("ragas.llms.base").InstructorBaseRagasLLM
    base_embedding: Any = quietly("ragas.embeddings.base").BaseRagasEmbedding

    class OurJudge(base_llm):
        def __init__(self, judge: Judge, session: Session) -> None:
            self.our_judge, self.our_session = judge, session

        def generate(self, prompt: str, response_model: Any) -> Any:
            raise NotImplementedError("scored asynchronously only")

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            return await self.our_judge.ask(prompt, response_model, check=self.our_session.check)

    class OurEmbedder(base_embedding):
        def __init__(self, judge: Judge) -> None:
            base_embedding.__init__(self)
            self.our_judge = judge

        def embed_text(self, text: str, **_: Any) -> list[float]:
            raise NotImplementedError("scored asynchronously only")

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return (await self.our_judge.embed([text]))[0]

        async def aembed_texts(self, texts: list[str], **_: Any) -> list[list[float]]:
            return await self.our_judge.embed(texts)

    return _Library(collections, OurJudge, OurEmbedder)


def make(name: str, judge: Judge) -> Scorer:
    """The scorer of that name: ragas's metric, or our own formula where ragas does not import."""
    try:
        _library()
    except ImportError:
        from spanledger_evaluators import rag

        return rag.instead_of(name, judge)
    return RagasScorer(name=name, judge=judge, metric=METRICS[name])


def _announce_counts(metric: Any, session: Session) -> None:
    """Let each of the metric's prompts tell the session how many statements it puts to the judge."""
    for prompt in _parts(metric):
        write = getattr(prompt, "to_string", None)
        if write is None:
            continue

        def announced(data: Any, write: Callable[[Any], str] = write) -> str:
            statements = getattr(data, "statements", None)
            session.expected = len(statements) if isinstance(statements, list) else None  # pyright: ignore[reportUnknownArgumentType]
            return write(data)

        prompt.to_string = announced


def _parts(metric: object) -> list[Any]:
    return list(vars(metric).values())


def _most_statements(name: str, case: Case) -> int | None:
    """Where the judge itself splits the text, more than twice its sentences are not statements of it."""
    return 2 * len(sentences(case.reference)) + 1 if name == "ragas.context_recall" else None
