"""Routes in; those with a semantic tier, as what their checks and certificates need, out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from spanledger.serving.semantic.version import group
from spanledger.serving.snapshot import Target
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
    targets: tuple[Target, ...] = ()
    since: int = 0  # when this version of the rule was stored, ns

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
    def replay_signature(self) -> str:
        """What decides which past calls would have been hits."""
        rule = self.semantic
        decides = [
            self.group,
            rule.replay_days,
            rule.lowest_similarity,
            rule.max_question_tokens,
            rule.user_scoped,
        ]
        targets = [(target.upstream, target.model, target.role) for target in self.targets]
        return json.dumps([*decides, rule.max_entries, self.ttl_s, targets])

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


def tiers(routes: Iterable[tuple[str, str, int, Route, int]]) -> list[Tier]:
    """The tiers among routes (project, name, version, document, when it was stored in ns)."""
    return [
        Tier(
            project=project,
            route=name,
            version=version,
            semantic=document.cache.semantic,
            ttl_s=document.cache.ttl_s,
            targets=tuple(Target(upstream=t.upstream, model=t.model, role=t.role) for t in document.targets),
            since=since,
        )
        for project, name, version, document, since in routes
        if document.cache is not None and document.cache.semantic is not None
    ]
