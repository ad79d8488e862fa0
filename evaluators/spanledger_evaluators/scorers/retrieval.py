"""Scorers of retrieval: ranked documents and the ids or texts that were relevant in, ranking measures out.

Relevant documents stand in the case's metadata: ``relevant_ids`` (a list, or id -> gain for nDCG).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from spanledger_evaluators.contract import Case, Result, Scorer

DEFAULT_K = 10


@dataclass(kw_only=True)
class RetrievalScorer(Scorer):
    """Base: needs ranked ``documents`` with ids and ``relevant_ids`` in the metadata."""

    k: int = DEFAULT_K
    name: str = ""
    version: str = "1"

    def score(self, case: Case) -> Result:
        """``not_applicable`` where nobody said what is relevant; a search without hits is 0, not a hole."""
        gains = relevant_gains(case.metadata.get("relevant_ids"))
        if not gains:
            return self.refuse("not_applicable", "the case does not say which documents are relevant")
        ranked = list(dict.fromkeys(document.id or document.content for document in case.documents))
        return self.result(self.measure([gains.get(name, 0.0) for name in ranked], list(gains.values())))

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """The measure of gains in rank order against the gains there are."""
        raise NotImplementedError


@dataclass(kw_only=True)
class PrecisionAtK(RetrievalScorer):
    """Relevant among the first k / k; of fewer than k documents: / their number."""

    name: str = "precision_at_k"

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """0 without documents."""
        top = ranked[: self.k]
        return sum(gain > 0 for gain in top) / len(top) if top else 0.0


@dataclass(kw_only=True)
class RecallAtK(RetrievalScorer):
    """Relevant among the first k / all relevant."""

    name: str = "recall_at_k"

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """Documents that were relevant and not found lower it."""
        return sum(gain > 0 for gain in ranked[: self.k]) / len(ideal)


@dataclass(kw_only=True)
class HitAtK(RetrievalScorer):
    """1 when any of the first k is relevant."""

    name: str = "hit_at_k"

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """0 without documents."""
        return float(any(gain > 0 for gain in ranked[: self.k]))


@dataclass(kw_only=True)
class ReciprocalRank(RetrievalScorer):
    """1 / rank of the first relevant document; its mean over cases is the MRR."""

    name: str = "reciprocal_rank"

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """0 when none was found."""
        return next((1 / rank for rank, gain in enumerate(ranked, 1) if gain > 0), 0.0)


@dataclass(kw_only=True)
class NdcgAtK(RetrievalScorer):
    """Discounted cumulative gain of the first k over the best there could be (Jarvelin and Kekalainen 2002)."""

    name: str = "ndcg_at_k"

    def measure(self, ranked: Sequence[float], ideal: Sequence[float]) -> float:
        """Gain / log2(rank + 1), summed."""
        best = _discounted(sorted(ideal, reverse=True)[: self.k])
        return _discounted(ranked[: self.k]) / best if best else 0.0


def relevant_gains(value: object) -> dict[str, float]:
    """What is relevant, and how much: a list of ids counts 1 each."""
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {str(name): float(gain) for name, gain in entries.items() if float(gain) > 0}
    if isinstance(value, list | tuple):
        return {str(name): 1.0 for name in cast("Sequence[object]", value)}
    return {}


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
