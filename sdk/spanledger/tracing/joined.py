"""Living with an OpenTelemetry SDK: its finished spans in, our facts out; and our spans for its exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import otlp, semconv, snapshot
from spanledger.journal.frames import FinishedSpan
from spanledger.recorder import Recorder
from spanledger.tracing.native import scopes, suppressed
from spanledger.tracing.span import KINDS, LedgerSpan, link_of

if TYPE_CHECKING:
    from spanledger.tracing.provider import Tracer

INHERITED = (
    semconv.USER_ID, semconv.SESSION_ID, semconv.CUSTOMER_ID, semconv.FEATURE, semconv.TEAM, semconv.TAGS,
    semconv.PURPOSE, semconv.EXPERIMENT,
)  # fmt: skip
"""Attributes that say for whom a call was made: every span below carries them too."""

_STATUS = {trace.StatusCode.UNSET: 0, trace.StatusCode.OK: 1, trace.StatusCode.ERROR: 2}


class JoinProcessor:
    """A span processor (by shape, so that the SDK need not be installed) that records what ends."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._scopes: dict[tuple[str, str], bytes] = {}
        self._native: set[int] = set()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Hand down what says for whom the call is made."""
        name = span.instrumentation_scope.name
        if name in scopes and suppressed(name, parent_context):
            self._native.add(span.context.span_id)
        parent: Any = trace.get_current_span(parent_context)
        facts = getattr(parent, "attributes", None)
        if not facts:
            return
        for handed in INHERITED:
            if handed in facts:
                span.set_attribute(handed, facts[handed])

    def on_end(self, span: Any) -> None:
        """Record a finished span of the SDK."""
        if span.context.span_id in self._native:
            self._native.discard(span.context.span_id)
            return
        if span.context.trace_flags & 1:
            self.recorder.take(self._facts(span))

    def _on_ending(self, span: Any) -> None:
        return

    def shutdown(self) -> None:
        """The SDK shuts down."""
        self.recorder.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """The SDK flushes."""
        return self.recorder.flush(timeout_millis / 1000)

    def _facts(self, span: Any) -> FinishedSpan:
        facts = FinishedSpan()
        context: trace.SpanContext = span.context
        facts.trace_id = context.trace_id.to_bytes(16, "big")
        facts.span_id = context.span_id.to_bytes(8, "big")
        facts.parent_span_id = span.parent.span_id.to_bytes(8, "big") if span.parent else b""
        facts.name, facts.kind = span.name, KINDS[span.kind]
        facts.start_time, facts.end_time = span.start_time, span.end_time
        facts.attributes = dict(span.attributes or {})
        facts.events = tuple((e.name, e.timestamp, dict(e.attributes or {})) for e in span.events)
        facts.links = tuple(link_of(link.context, link.attributes) for link in span.links)
        facts.status_code = _STATUS[span.status.status_code]
        facts.status_message = span.status.description or ""
        facts.trace_state, facts.flags = context.trace_state.to_header(), int(context.trace_flags)
        scope = span.instrumentation_scope
        facts.scope = self._scope(scope.name, scope.version or "")
        facts.dropped = (
            getattr(span, "dropped_attributes", 0),
            getattr(span, "dropped_events", 0),
            getattr(span, "dropped_links", 0),
        )
        return facts

    def _scope(self, name: str, version: str) -> bytes:
        found = self._scopes.get((name, version))
        if found is None:
            found = self._scopes[(name, version)] = otlp.scope(name, version)
        return found


def readable(span: LedgerSpan, tracer: Tracer) -> Any:
    """Our finished span as the OpenTelemetry SDK's ReadableSpan, for a processor that was added to us."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from spanledger.resource import describe

    context = span.get_span_context()
    parent = None
    if span.parent_span_id:
        parent = trace.SpanContext(
            context.trace_id, int.from_bytes(span.parent_span_id, "big"), False, context.trace_flags
        )
    kinds = {number: kind for kind, number in KINDS.items()}
    codes = {number: code for code, number in _STATUS.items()}
    attributes: Any = snapshot.decoded(span.attributes)
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=Resource(dict(describe(tracer.provider.recorder.settings))),
        attributes=attributes,
        events=[Event(name, dict(pairs), when) for name, when, pairs in span.events],  # pyright: ignore[reportArgumentType]
        links=[
            trace.Link(
                trace.SpanContext(int.from_bytes(t, "big"), int.from_bytes(s, "big"), True),
                dict(pairs),  # pyright: ignore[reportArgumentType]
            )
            for t, s, pairs, _, _ in span.links
        ],
        kind=kinds[span.kind],
        status=trace.Status(codes[span.status_code], span.status_message or None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=InstrumentationScope(tracer.name, tracer.version),
    )
