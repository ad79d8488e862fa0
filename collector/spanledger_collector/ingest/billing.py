"""A batch of spans and what is stored of their traces in; which of them is a distinct model call out. Pure.

One call is often told twice: by a provider's SDK and an instrumentation around it, by a framework and
the client it uses, by a client and the gateway it called. Only one of them may carry cost:

1. agents, workflows, tools and everything that is no model call never do;
2. a span that says ``spanledger.billable=false`` does not;
3. two spans of one project with one response id, that were open at the same time, are one call;
4. of two model spans one above the other, with one model and the same tokens, only one counts;
5. so does only one of two root spans of one service, told by two instrumentations that did not see each
   other: one model, the same tokens, one open within the time of the other, and not two response ids.

What is stored was counted first and stays counted. Within a batch the span that tells most wins, then the inner one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spanledger.serving.usage import Usage
from spanledger_collector.store.reads.known import LOOK_BACK_NS, Asked, Known

from .rows import MODEL_OPERATIONS, Span, SpanKey

SKEW_NS = 10**9
_DAY_NS = 86_400 * 10**9
_MAX_DEPTH = 200  # a chain of parents longer than this is a loop
_MAX_PAIRS = 64  # spans of one trace or response id that are compared with each other


@dataclass(slots=True)
class Call:
    """One telling of a model call."""

    key: SpanKey
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
    def same_usage(self) -> tuple[object, ...]:
        """What the tellings of rule 4 have in common."""
        return (self.key[:2], self.totals)

    @property
    def twins(self) -> tuple[str, str, int | None, int | None]:
        """What the tellings of rule 5 have in common."""
        return (self.key[0], self.service, *self.totals)

    @property
    def trace(self) -> tuple[str, bytes]:
        """Project and trace id."""
        return self.key[:2]


def asked(spans: Sequence[Span]) -> Asked:
    """What the store must be asked before ``decide``: whether it has these spans, and other tellings of their calls."""
    rows = [span.row for span in spans]
    moments = [row["start_time"] for row in rows]
    scopes: set[tuple[str, str]] = set()
    roots: set[tuple[str, int, int]] = set()
    for span in spans:
        if span.row.get("operation") not in MODEL_OPERATIONS:
            continue
        scopes.add((span.row["project"], span.row.get("scope", "")))
        if span.usage is None:
            continue
        # The inner telling of a call starts within the outer one, and is often stored first.
        moments.append(span.row["start_time"] + span.row["duration_ns"])
        total_in, total_out = span.usage.input_total, span.usage.output_total
        if "parent_span_id" not in span.row and total_in is not None and total_out is not None:
            roots.add((span.row.get("scope", ""), total_in, total_out))
    return Asked(
        projects={row["project"] for row in rows},
        traces={row["trace_id"] for row in rows},
        moments=moments,
        scopes=scopes,
        response_ids={row["response_id"] for row in rows if row.get("response_id")},
        roots=roots,
        look_back_ns=_DAY_NS if any(span.clamped for span in spans) else LOOK_BACK_NS,
    )


def decide(spans: Sequence[Span], known: Iterable[Known]) -> int:
    """Set ``billable`` and ``billable_reason`` on every row; the answer counts the duplicates found."""
    known = list(known)
    # What is stored and not billable was refused because of another, or was never a call of its own.
    stored = [_stored_call(row) for row in known if row.billable]
    parents: dict[SpanKey, bytes] = {(k.project, k.trace_id, k.span_id): k.parent_span_id for k in known}
    fresh: list[Call] = []
    for span in spans:
        row = span.row
        parents[_key(span)] = row.get("parent_span_id", b"")
        if _may_bill(span):
            fresh.append(_fresh_call(span))
    return _mark_duplicates(fresh, stored, parents)


def _key(span: Span) -> SpanKey:
    return (span.row["project"], span.row["trace_id"], span.row["span_id"])


def _may_bill(span: Span) -> bool:
    """Rules 1 and 2; sets the reason where they say no."""
    row = span.row
    if row.get("operation", "") not in MODEL_OPERATIONS:
        if span.usage is not None:
            row["billable_reason"] = "not_a_model_call"
        return False
    if span.told_billable is False:
        row["billable_reason"] = span.told_reason or "told"
        return False
    row["billable"] = True
    return True


def _stored_call(row: Known) -> Call:
    return Call(
        key=(row.project, row.trace_id, row.span_id),
        parent=row.parent_span_id,
        model_names=(row.request_model, row.response_model),
        response_id=row.response_id,
        service=row.service,
        scope=row.scope,
        start=row.start_time,
        end=row.start_time + row.duration_ns,
        totals=(row.input_total, row.output_total),
        stored=True,
        billed=row.billable,
    )


def _fresh_call(span: Span) -> Call:
    row, usage = span.row, span.usage
    return Call(
        key=_key(span),
        parent=row.get("parent_span_id", b""),
        model_names=(row.get("request_model", ""), row.get("response_model", "")),
        response_id=row.get("response_id", ""),
        service=row.get("service", ""),
        scope=row.get("scope", ""),
        start=row["start_time"],
        end=row["start_time"] + row["duration_ns"],
        totals=(None, None) if usage is None else (usage.input_total, usage.output_total),
        stored=False,
        billed=True,
        detail=0 if usage is None else _detail(usage),
        span=span,
    )


def _detail(usage: Usage) -> int:
    """How much a telling tells: the fuller one is worth more."""
    return (
        (usage.output_tokens is not None)
        + (usage.cache_read_tokens is not None)
        + (usage.cache_write_tokens is not None)
        + (usage.cache_write_1h_tokens is not None)
        + (usage.reasoning_tokens is not None)
    )


class _Tellings:
    """Calls compared so far, found again by what a second telling has in common with them."""

    def __init__(self, parents: Mapping[SpanKey, bytes]) -> None:
        self._parents = parents
        self._answers: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self._traces: dict[tuple[object, ...], list[Call]] = defaultdict(list)
        self._roots: dict[tuple[str, str, int | None, int | None], list[Call]] = defaultdict(list)

    def add(self, call: Call) -> None:
        """Compare later calls with this one too."""
        groups = [self._traces[call.same_usage]]
        if call.response_id:
            groups.append(self._answers[call.key[0], call.response_id])
        if not call.parent:
            groups.append(self._roots[call.twins])
        for group in groups:
            if len(group) < _MAX_PAIRS:
                group.append(call)

    def duplicate(self, call: Call) -> str:
        """Why this is a second telling of a call that counts already; empty when it is not."""
        same_answer = self._answers.get((call.key[0], call.response_id), []) if call.response_id else []
        if any(_one_answer(call, other, self._parents) for other in same_answer):
            return "same_response_id"
        for other in self._traces.get(call.same_usage, []):
            if _alike(call, other) and _related(call, other, self._parents):
                return "same_usage_in_ancestry"
        if call.parent or None in call.totals:
            return ""
        for other in self._roots.get(call.twins, []):
            if call.scope not in other.twin_scopes and _twins(call, other):
                other.twin_scopes.add(call.scope)  # a second call of that instrumentation is another call
                return "same_usage_at_the_same_time"
        return ""


def _mark_duplicates(fresh: list[Call], stored: list[Call], parents: Mapping[SpanKey, bytes]) -> int:
    contested = _contested(fresh, stored)
    tellings = _Tellings(parents)
    for call in stored:
        tellings.add(call)
    found = 0
    for call in sorted(
        contested, key=lambda call: (-call.detail, -_depth(call, parents), call.start, call.key)
    ):
        if reason := tellings.duplicate(call):
            _refuse(call, reason)
            found += 1
        tellings.add(call)
    return found


def _contested(fresh: list[Call], stored: list[Call]) -> list[Call]:
    """The fresh calls that have anything in common with another; most have nothing, and count."""
    seen: set[object] = set()
    shared: set[object] = set()
    scopes: dict[object, str] = {}
    for call in [*stored, *fresh]:
        for what in (call.same_usage, call.response_id and (call.key[0], call.response_id)):
            (shared if what in seen else seen).add(what)
        if not call.parent and scopes.setdefault(call.twins, call.scope) != call.scope:
            shared.add(call.twins)
    shared.discard("")  # no response id
    return [
        call
        for call in fresh
        if call.same_usage in shared
        or (call.response_id and (call.key[0], call.response_id) in shared)
        or (not call.parent and call.twins in shared)
    ]


def _twins(call: Call, other: Call) -> bool:
    """Rule 5, for two calls with the same tokens."""
    if call.scope == other.scope or not call.scope or not other.scope or call.trace == other.trace:
        return False
    if not other.billed or (call.response_id and other.response_id):
        return False
    within = call.start <= other.start and other.end <= call.end
    around = other.start <= call.start and call.end <= other.end
    return (within or around) and _same_model(call.models, other.models)


def _refuse(call: Call, reason: str) -> None:
    call.billed = False
    if call.span is not None:
        call.span.row["billable"] = False
        call.span.row["billable_reason"] = reason


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


def _alike(call: Call, other: Call) -> bool:
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
    parent = call.parent
    for _ in range(_MAX_DEPTH):
        if not parent:
            return False
        if parent == ancestor:
            return True
        parent = parents.get((*call.trace, parent), b"")
    return False


def _depth(call: Call, parents: Mapping[SpanKey, bytes]) -> int:
    depth, parent = 0, call.parent
    while parent and depth < _MAX_DEPTH:
        depth += 1
        parent = parents.get((*call.trace, parent), b"")
    return depth
