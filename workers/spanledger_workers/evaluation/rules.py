"""Evaluator documents as rules: a call in, whether the rule wants it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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
    judge: dict[str, Any] | None = None
    strata: tuple[dict[str, Any], ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def unknown_filters(self) -> list[str]:
        """Names in the filter or the strata that no call has; a rule with any of them matches nothing."""
        named = {*self.filter, *(name for stratum in self.strata for name in stratum["when"])}
        return sorted(named - MATCHED - {HAS_DOCUMENTS})

    def matches(self, call: Callable[[str], str]) -> bool:
        """Whether the filter wants a call; ``call`` gives its fields by name."""
        return _is_all(self.filter, call)

    def rate_of(self, call: Callable[[str], str]) -> float:
        """The rate at which calls like this one are sampled: that of the first stratum it belongs to, else the rule's."""
        return next((float(one["rate"]) for one in self.strata if _is_all(one["when"], call)), self.rate)

    def wants(self, call: NewCall) -> bool:
        """Whether the call matches and falls into the sample; all calls of a trace and stratum fall alike."""
        if call.project != self.project or self.unknown_filters():
            return False
        fields = partial(getattr, call)
        return self.matches(fields) and chosen(call.trace_id, self.rate_of(fields))


def _is_all(wanted: Mapping[str, Any], call: Callable[[str], str]) -> bool:
    return all(_equals(call(name), value) for name, value in wanted.items() if name != HAS_DOCUMENTS)


def _equals(value: str, wanted: object) -> bool:
    return value in wanted if isinstance(wanted, list) else value == wanted
