"""Tellings of model calls, compared: which of them tell one call. The rules stand in ``billing``. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .rows import Span, SpanKey

SKEW_NS = 10**9
_MAX_DEPTH = 200  # a chain of parents longer than this is a loop
_MAX_PAIRS = 64  # spans of one trace or response id that are compared with each other

Shared = tuple[object, ...]
"""What two tellings of one call have in common."""


@dataclass(slots=True)
class Call:
    """One telling of a model call."""

    key: SpanKey
    operation: str
    parent: bytes
    model_names: tuple[str, str]
    response_id: str
    service: str
    scope: str
    start: int
    end: int
    totals: tuple[int | None, int | None]
    stored: bool
    billed: bool
    detail: int = 0
    span: Span | None = None
    twin_scopes: set[str] = field(default_factory=set[str])

    @property
    def models(self) -> frozenset[str]:
        """The model's names without a provider before a slash."""
        return frozenset(name.lower().rpartition("/")[2] for name in self.model_names if name)

    @property
    def same_usage(self) -> Shared:
        """What the tellings of rule 4 have in common."""
        return (*self.key[:2], *self.totals)

    @property
    def same_answer(self) -> Shared | None:
        """What the tellings of rule 3 have in common; None without a response id."""
        return (self.key[0], self.response_id) if self.response_id else None

    @property
    def twins(self) -> Shared | None:
        """What the tellings of rule 5 have in common; None for a call that is no root."""
        return None if self.parent else (self.key[0], self.service, *self.totals)

    @property
    def trace(self) -> tuple[str, bytes]:
        """Project and trace id."""
        return self.key[:2]


class Tellings:
    """Calls compared so far, found again by what a second telling has in common with them."""

    def __init__(self, parents: Mapping[SpanKey, bytes]) -> None:
        self._parents = parents
        self._answers: dict[Shared, list[Call]] = defaultdict(list)
        self._traces: dict[Shared, list[Call]] = defaultdict(list)
        self._roots: dict[Shared, list[Call]] = defaultdict(list)

    def add(self, call: Call) -> None:
        """Compare later calls with this one too."""
        groups = [self._traces[call.same_usage]]
        if (answer := call.same_answer) is not None:
            groups.append(self._answers[answer])
        if (twins := call.twins) is not None:
            groups.append(self._roots[twins])
        for group in groups:
            if len(group) < _MAX_PAIRS:
                group.append(call)

    def duplicate(self, call: Call) -> str:
        """Why this is a second telling of a call that counts already; empty when it is not."""
        answer, twins = call.same_answer, call.twins
        same_answer = self._answers.get(answer, []) if answer is not None else []
        if any(_one_answer(call, other, self._parents) for other in same_answer):
            return "same_response_id"
        for other in self._traces.get(call.same_usage, []):
            if alike(call, other) and _related(call, other, self._parents):
                return "same_usage_in_ancestry"
        if twins is None or None in call.totals:
            return ""
        for other in self._roots.get(twins, []):
            if call.scope not in other.twin_scopes and _twins(call, other):
                other.twin_scopes.add(call.scope)  # a second call of that instrumentation is another call
                return "same_usage_at_the_same_time"
        return ""


def ancestors(call: Call, parents: Mapping[SpanKey, bytes]) -> Iterator[bytes]:
    """Span ids of what is known to be above a call, the nearest first."""
    parent = call.parent
    for _ in range(_MAX_DEPTH):
        if not parent:
            return
        yield parent
        parent = parents.get((*call.trace, parent), b"")


def depth(call: Call, parents: Mapping[SpanKey, bytes]) -> int:
    """How many known spans are above this one."""
    return sum(1 for _ in ancestors(call, parents))


def _twins(call: Call, other: Call) -> bool:
    """Rule 5, for two calls with the same tokens."""
    if call.scope == other.scope or not call.scope or not other.scope or call.trace == other.trace:
        return False
    if not other.billed or (call.response_id and other.response_id):
        return False
    within = call.start <= other.start and other.end <= call.end
    around = other.start <= call.start and call.end <= other.end
    return (within or around) and _same_model(call.models, other.models)


def _one_answer(call: Call, other: Call, parents: Mapping[SpanKey, bytes]) -> bool:
    """One response id tells one call, unless a stand-in server answers every call with the same id.

    Then the two were not open at the same time, or one instrumentation told both, in traces of their own.
    """
    if call.trace == other.trace and _related(call, other, parents):
        return True
    if (
        call.scope
        and call.scope == other.scope
        and (call.trace != other.trace or not _agree(call.totals, other.totals))
    ):
        return False
    skew = 0 if call.scope == other.scope else SKEW_NS
    return call.start <= other.end + skew and other.start <= call.end + skew


def alike(call: Call, other: Call) -> bool:
    """The same model, as far as both tell; their tokens are the same already."""
    return not call.models or not other.models or _same_model(call.models, other.models)


def _same_model(left: frozenset[str], right: frozenset[str]) -> bool:
    # gpt-4o and gpt-4o-2024-08-06 name one model; gpt-4o and gpt-4o-mini would too, but not with one usage.
    return bool(left & right) or any(a.startswith(b) or b.startswith(a) for a in left for b in right)


def _agree(left: tuple[int | None, int | None], right: tuple[int | None, int | None]) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(left, right, strict=True))


def _related(call: Call, other: Call, parents: Mapping[SpanKey, bytes]) -> bool:
    """Whether one is an ancestor of the other."""
    return _is_above(call.key[2], other, parents) or _is_above(other.key[2], call, parents)


def _is_above(ancestor: bytes, call: Call, parents: Mapping[SpanKey, bytes]) -> bool:
    return ancestor in ancestors(call, parents)
