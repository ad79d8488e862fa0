"""A batch of spans and what is stored of their traces in; which of them is a distinct model call out. Pure.

One call is often told twice: by a provider's SDK and an instrumentation around it, by a framework and
the client it uses, by a client and the gateway it called. Only one of them may carry cost:

1. agents, workflows, tools and everything that is no model call never do;
2. a span that says ``spanledger.billable=false`` does not;
3. two spans of one project with one response id, that were open at the same time, are one call;
4. of two model spans one above the other, with one model and the same tokens, only one counts;
5. so does only one of two root spans of one service, told by two instrumentations that did not see each
   other: one model, the same tokens, one open within the time of the other, and not two response ids;
6. a span that tells no tokens does not, when a span below it tells a call of the same operation and model with tokens.

What a gateway asks by itself because of a request (a hit asked again, a shadow) stands below it and tells a call of its own.

What is stored was counted first and stays counted. Within a batch the span that tells most wins, then the inner one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from spanledger.semconv import BESIDE
from spanledger.serving.usage import Usage
from spanledger_collector.store.reads.known import LOOK_BACK_NS, Asked, Known

from .rows import MODEL_OPERATIONS, Span, SpanKey
from .tellings import Call, Shared, Tellings, alike, ancestors, depth

_DAY_NS = 86_400 * 10**9


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
        if "parent_span_id" not in span.row:
            total_in, total_out = _totals(span)
            if total_in is not None and total_out is not None:
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
    parents: dict[SpanKey, bytes] = {(k.project, k.trace_id, k.span_id): k.parent_span_id for k in known}
    fresh: list[Span] = []
    for span in spans:
        parents[_key(span)] = span.row.get("parent_span_id", b"")
        if _may_bill(span) and span.row.get("purpose") not in BESIDE:
            fresh.append(span)
    # What is stored and not billable was refused because of another, or was never a call of its own.
    stored = [_stored_call(row) for row in known if row.billable and row.purpose not in BESIDE]
    wrappers = _wrappers(fresh, stored, parents)
    for span in wrappers:
        _refuse(_fresh_call(span), "told_below")
    fresh = [span for span in fresh if span.row["billable"]]
    return len(wrappers) + _mark_duplicates(_contested(fresh, stored), stored, parents)


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


def _wrappers(fresh: Sequence[Span], stored: Sequence[Call], parents: Mapping[SpanKey, bytes]) -> list[Span]:
    """Rule 6: spans without tokens above one that has them."""
    silent = {_key(span): span for span in fresh if span.usage is None}
    if not silent:
        return []
    traces = {key[:2] for key in silent}
    telling = [_fresh_call(span) for span in fresh if span.usage is not None and _key(span)[:2] in traces]
    telling += [call for call in stored if call.totals != (None, None) and call.trace in traces]
    found: dict[SpanKey, Span] = {}
    for call in telling:
        for above in ancestors(call, parents):
            span = silent.get((*call.trace, above))
            if (
                span is not None
                and span.row["operation"] == call.operation
                and alike(call, _fresh_call(span))
            ):
                found[_key(span)] = span
    return list(found.values())


def _totals(span: Span) -> tuple[int | None, int | None]:
    usage = span.usage
    return (None, None) if usage is None else (usage.input_total, usage.output_total)


def _stored_call(row: Known) -> Call:
    return Call(
        key=(row.project, row.trace_id, row.span_id),
        operation=row.operation,
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
        operation=row["operation"],
        parent=row.get("parent_span_id", b""),
        model_names=(row.get("request_model", ""), row.get("response_model", "")),
        response_id=row.get("response_id", ""),
        service=row.get("service", ""),
        scope=row.get("scope", ""),
        start=row["start_time"],
        end=row["start_time"] + row["duration_ns"],
        totals=_totals(span),
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


def _contested(fresh: Sequence[Span], stored: Sequence[Call]) -> list[Call]:
    """The fresh calls that have anything in common with another; most have nothing, and count."""
    seen: set[Shared] = set()
    shared: set[Shared] = set()
    scopes: dict[Shared, str] = {}
    for call in stored:
        for what in (call.same_usage, call.same_answer):
            if what is not None:
                (shared if what in seen else seen).add(what)
        if (twins := call.twins) is not None and scopes.setdefault(twins, call.scope) != call.scope:
            shared.add(twins)
    told = [(span, *_shared(span)) for span in fresh]
    for span, usage, answer, twins in told:
        (shared if usage in seen else seen).add(usage)
        if answer is not None:
            (shared if answer in seen else seen).add(answer)
        if twins is not None:
            scope = span.row.get("scope", "")
            if scopes.setdefault(twins, scope) != scope:
                shared.add(twins)
    return [_fresh_call(span) for span, *keys in told if not shared.isdisjoint(keys)]


def _shared(span: Span) -> tuple[Shared, Shared | None, Shared | None]:
    """``Call.same_usage``, ``.same_answer`` and ``.twins``, without making the call: most spans need none."""
    row, totals = span.row, _totals(span)
    project, answer = row["project"], row.get("response_id")
    return (
        (project, row["trace_id"], *totals),
        (project, answer) if answer else None,
        None if row.get("parent_span_id") else (project, row.get("service", ""), *totals),
    )


def _mark_duplicates(contested: list[Call], stored: list[Call], parents: Mapping[SpanKey, bytes]) -> int:
    tellings = Tellings(parents)
    for call in stored:
        tellings.add(call)
    found = 0
    for call in sorted(
        contested, key=lambda call: (-call.detail, -depth(call, parents), call.start, call.key)
    ):
        if reason := tellings.duplicate(call):
            _refuse(call, reason)
            found += 1
        tellings.add(call)
    return found


def _refuse(call: Call, reason: str) -> None:
    call.billed = False
    if call.span is not None:
        call.span.row["billable"] = False
        call.span.row["billable_reason"] = reason
