"""Routes in; those with a semantic tier, as what their checks and certificates need, out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spanledger.serving.semantic.version import group
from spanledger_collector.store.registry.serving import Route, SemanticRule
from spanledger_evaluators.cached_answers import NAME
from spanledger_evaluators.stats.certificate import STRICTEST, grid
from spanledger_workers.evaluation.rules import Rule

_LOOSEST = 0.97  # a lowest similarity beyond it leaves no grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The semantic tier of one route."""

    project: str
    route: str
    version: int
    semantic: SemanticRule
    ttl_s: float

    @property
    def group(self) -> str:
        """What one certificate covers: other embedders and other guards begin anew."""
        return group(self.project, self.route, self.semantic.embedder)

    @property
    def judge_id(self) -> str:
        """What the judge's scores say they were judged by; empty without a judge."""
        judge = self.semantic.judge
        return (judge.model or judge.route) if judge else ""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The similarities that may be certified, from strict to loose."""
        lowest = max(self.semantic.lowest_similarity, 0.01)
        return grid(min(lowest, _LOOSEST), strictest=STRICTEST if lowest < _LOOSEST else 1.0)

    @property
    def rule(self) -> Rule:
        """The tier's checks as an evaluation rule: for its judge, its cap and its cost."""
        judge = self.semantic.judge
        cap = self.semantic.daily_cap
        return Rule(
            project=self.project,
            name=f"cache:{self.route}",
            version=self.version,
            scorers=(NAME,),
            filter={},
            daily_cap=None if cap is None else str(cap),
            judge=judge.model_dump() if judge else None,
        )


def tiers(routes: Iterable[tuple[str, str, int, Route]]) -> list[Tier]:
    """The tiers among routes (project, name, version, document)."""
    return [
        Tier(
            project=project,
            route=name,
            version=version,
            semantic=document.cache.semantic,
            ttl_s=document.cache.ttl_s,
        )
        for project, name, version, document in routes
        if document.cache is not None and document.cache.semantic is not None
    ]
