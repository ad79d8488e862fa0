"""Evaluator documents as rules: a call in, whether the rule wants it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spanledger_collector.store.reads.evaluation import NewCall
from spanledger_evaluators.stats.sampling import chosen

MATCHED = frozenset(
    {
        "operation",
        "team",
        "feature",
        "user_id",
        "route",
        "upstream",
        "request_model",
        "environment",
        "prompt_name",
        "cache",
    }
)
"""Fields of a call that a filter may name."""

HAS_DOCUMENTS = "has_documents"
"""Filter: only calls (true) or no calls (false) whose trace holds retrieved documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One version of one ``evaluator`` document. ``daily_cap`` in USD as a decimal string, or None."""

    project: str
    name: str
    version: int
    scorers: tuple[str, ...]
    filter: dict[str, Any]
    rate: float = 1.0
    delay_s: float = 0.0
    daily_cap: str | None = None
    judge: dict[str, str] | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def unknown_filters(self) -> list[str]:
        """Names in the filter that no call has; a rule with any of them matches nothing."""
        return sorted(set(self.filter) - MATCHED - {HAS_DOCUMENTS})

    def wants(self, call: NewCall) -> bool:
        """Whether the call matches and falls into the sample; all calls of a trace fall alike."""
        if call.project != self.project or self.unknown_filters():
            return False
        matches = all(
            _equals(getattr(call, name), wanted)
            for name, wanted in self.filter.items()
            if name != HAS_DOCUMENTS
        )
        return matches and chosen(call.trace_id, self.rate)


def _equals(value: str, wanted: object) -> bool:
    return value in wanted if isinstance(wanted, list) else value == wanted
