"""Freshness: the times and versions of retrieved sources in; how old what was answered from is, out.

All from span data: a document's ``updated_at``, ``indexed_at``, ``version`` and ``superseded_by``,
against the call's ``start_time`` (ns).
"""

from __future__ import annotations

from dataclasses import dataclass

from spanledger_evaluators.contract import Bounds, Case, Document, Result, Scorer

from .content import cited_numbers

_DAY_NS = 86_400 * 10**9


@dataclass(kw_only=True)
class SourceAge(Scorer):
    """Days between the last update of the retrieved sources and the call: their mean."""

    name: str = "source_age_days"
    version: str = "1"
    higher_is_better: bool = False
    bounds: Bounds | None = (0.0, float("inf"))

    def score(self, case: Case) -> Result:
        """``not_applicable`` where neither the call's time nor any source's is known."""
        ages = [age for document in case.documents if (age := _age_days(document, case)) is not None]
        if not ages:
            return self.refuse("not_applicable", "no retrieved source says when it was updated")
        return self.result(
            sum(ages) / len(ages), explanation=f"oldest {max(ages):.1f} days, {len(ages)} sources"
        )


@dataclass(kw_only=True)
class StaleHits(Scorer):
    """Share of the retrieved sources that are older than ``max_days`` or superseded."""

    max_days: float = 180.0
    name: str = "stale_hit_rate"
    version: str = "1"
    higher_is_better: bool = False

    def score(self, case: Case) -> Result:
        """Sources of unknown age count as fresh unless they are superseded; all unknown: ``not_applicable``."""
        known = [
            document
            for document in case.documents
            if document.superseded_by or _age_days(document, case) is not None
        ]
        if not known:
            return self.refuse("not_applicable", "no retrieved source says when it was updated")
        stale = [document for document in known if self._is_stale(document, case)]
        names = ", ".join(document.id or document.source for document in stale)
        return self.result(len(stale) / len(known), explanation=names[:500])

    def _is_stale(self, document: Document, case: Case) -> bool:
        age = _age_days(document, case)
        return bool(document.superseded_by) or (age is not None and age > self.max_days)


@dataclass(kw_only=True)
class IndexLag(Scorer):
    """Days from a source's update until it was indexed: the mean over retrieved sources."""

    name: str = "index_lag_days"
    version: str = "1"
    higher_is_better: bool = False
    bounds: Bounds | None = (0.0, float("inf"))

    def score(self, case: Case) -> Result:
        """``not_applicable`` where no source knows both times."""
        lags = [
            max(0, document.indexed_at - document.updated_at) / _DAY_NS
            for document in case.documents
            if document.indexed_at is not None and document.updated_at is not None
        ]
        if not lags:
            return self.refuse("not_applicable", "no retrieved source knows when it was updated and indexed")
        return self.result(sum(lags) / len(lags))


@dataclass(kw_only=True)
class SupersededCited(Scorer):
    """1 when the answer cites ``[n]`` a source that another one supersedes."""

    name: str = "superseded_source_cited"
    version: str = "1"
    higher_is_better: bool = False

    def score(self, case: Case) -> Result:
        """``not_applicable`` when nothing is cited; citations count from 1 in rank order."""
        cited = {number for number in cited_numbers(case.answer) if 1 <= number <= len(case.documents)}
        if not cited:
            return self.refuse("not_applicable", "the answer cites no retrieved source")
        old = [
            case.documents[number - 1] for number in sorted(cited) if case.documents[number - 1].superseded_by
        ]
        told = ", ".join(f"{document.id or document.source} by {document.superseded_by}" for document in old)
        return self.result(float(bool(old)), explanation=told[:500])


def _age_days(document: Document, case: Case) -> float | None:
    start = case.metadata.get("start_time")
    if document.updated_at is None or not isinstance(start, int):
        return None
    return max(0, start - document.updated_at) / _DAY_NS
