"""A TracerProvider over the recorder: what any OpenTelemetry instrumentation starts, we record."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.util import types

from spanledger import ids, otlp, semconv
from spanledger.otlp import NOTHING_DROPPED
from spanledger.span_facts import Attributes, AttributeValue
from spanledger.tracing.current import KEY, enter, leave, variable
from spanledger.tracing.native import scopes, suppressed
from spanledger.tracing.span import KINDS, LedgerSpan, link_of

if TYPE_CHECKING:
    from spanledger.recorder import Recorder

logger = logging.getLogger("spanledger")
_INTERNAL = trace.SpanKind.INTERNAL
F = TypeVar("F", bound=Callable[..., Any])


class LedgerProvider(trace.TracerProvider):
    """Makes tracers that end in one recorder. ``clock`` and ``bits`` are replaced in tests."""

    def __init__(
        self, recorder: Recorder, *, clock: ids.Clock = ids.clock, bits: ids.Bits = ids.random_bits
    ) -> None:
        self.clock = clock
        self.bits = bits
        self.processors: list[Any] = []
        self.use(recorder)
        self._tracers: dict[object, Tracer] = {}

    def use(self, recorder: Recorder) -> None:
        """Record to this one from now on; tracers that were given away follow."""
        settings = recorder.settings
        self.recorder = recorder
        self.rate = settings.sample_rate
        self.is_sampling = self.rate < 1
        self.keep_tokens = settings.sample_keep_tokens
        self.bound = int(settings.sample_rate * (1 << 56))
        self.take = recorder.entry()
        self.is_watched = bool(self.processors)
        self.plain = not self.is_sampling and not self.is_watched
        """Whether a finished span goes straight to the recorder."""

    def use_sources(self, clock: ids.Clock, bits: ids.Bits) -> None:
        """Take time and ids from these from now on (for tests)."""
        self.clock, self.bits = clock, bits
        for tracer in self._tracers.values():
            tracer.clock, tracer.bits = clock, bits

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes = None,
    ) -> Tracer:
        """The tracer of this instrumentation scope."""
        if not instrumenting_module_name:
            logger.debug("get_tracer called without a name.")
        name, version = instrumenting_module_name or "", instrumenting_library_version or ""
        key = (name, version, tuple(attributes.items()) if attributes else ())
        try:
            found = self._tracers.get(key)
        except TypeError:  # an attribute that is a list
            return Tracer(self, name, version, attributes)
        if found is None:
            found = self._tracers[key] = Tracer(self, name, version, attributes)
        return found

    def add_span_processor(self, span_processor: Any) -> None:
        """Let an OpenTelemetry SDK span processor (an exporter of yours) see every span as well."""
        self.processors.append(span_processor)
        self.is_watched, self.plain = True, False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the OpenTelemetry SDK's: wait until all is shipped."""
        others = [processor.force_flush(timeout_millis) for processor in self.processors]
        return self.recorder.flush(timeout_millis / 1000) and all(others)

    def shutdown(self) -> None:
        """As the OpenTelemetry SDK's."""
        for processor in self.processors:
            processor.shutdown()
        self.recorder.close()


class Tracer(trace.Tracer):
    """Starts spans of one instrumentation scope."""

    def __init__(
        self, provider: LedgerProvider, name: str, version: str, attributes: types.Attributes
    ) -> None:
        self.provider = provider
        self.name = name
        self.version = version
        self.scope = otlp.scope(name, version, cast(Attributes, attributes))
        self.clock = provider.clock
        self.bits = provider.bits

    def begin(
        self,
        name: str,
        kind: int,
        parent: trace.Span | None,
        start_time: int | None = None,
        facts: dict[str, Any] | None = None,
    ) -> LedgerSpan:
        """Start a span with these facts below ``parent`` (None: a root). The short way; no context is touched."""
        span = LedgerSpan()
        span.tracer, span.name, span.scope, span.kind = self, name, self.scope, kind
        span.open, span.inherited, span.flags, span.trace_state = True, None, 1, ""
        span.events = span.links = ()
        span.status_code, span.status_message, span.dropped = 0, "", NOTHING_DROPPED
        bits = self.bits
        span.span_id = (bits(64) or 1).to_bytes(8, "big")
        span.start_time = self.clock() if start_time is None else start_time
        if type(parent) is LedgerSpan:
            span.trace_id, span.parent_span_id = parent.trace_id, parent.span_id
            span.flags, span.trace_state = parent.flags, parent.trace_state
            inherited = span.inherited = parent.inherited
            if inherited is not None:
                span.attributes = {**inherited, **facts} if facts else dict(inherited)
            else:
                span.attributes = {} if facts is None else {**facts}
            return span
        span.attributes = {} if facts is None else {**facts}
        if parent is not None and self._below_other(span, parent):
            return span
        identity = bits(128) or 1
        span.trace_id, span.parent_span_id = identity.to_bytes(16, "big"), b""
        provider = self.provider
        if provider.is_sampling and (identity & ((1 << 56) - 1)) >= provider.bound:
            span.flags = 0
        return span

    def _below_other(self, span: LedgerSpan, parent: trace.Span) -> bool:
        """Below a span that is not ours: a caller's, or another library's."""
        context = parent.get_span_context()
        if not context.is_valid:
            return False
        span.trace_id = context.trace_id.to_bytes(16, "big")
        span.parent_span_id = context.span_id.to_bytes(8, "big")
        span.trace_state = context.trace_state.to_header() if context.trace_state else ""
        # A caller that does not record is followed only where we sample ourselves.
        span.flags = context.trace_flags & 1 if self.provider.is_sampling else 1
        return True

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = _INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """OpenTelemetry's: start a span without making it current."""
        found: Any = (variable.get() if context is None else context).get(KEY)
        parent = found if isinstance(found, trace.Span) else None
        if self.name in scopes and suppressed(self.name, context):
            return trace.NonRecordingSpan(parent.get_span_context() if parent else trace.INVALID_SPAN_CONTEXT)
        span = self.begin(name, KINDS[kind], parent, start_time)
        if attributes:
            span.set_attributes(attributes)
        if links:
            span.links = tuple(link_of(link.context, link.attributes) for link in links[:128])
            if len(links) > 128:
                span.dropped = (0, 0, len(links) - 128)
        for processor in self.provider.processors:
            processor.on_start(span, context)
        return span

    def start_as_current_span(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = _INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """OpenTelemetry's: a context manager (and decorator) whose span is current inside."""
        return CurrentSpan(
            self,
            (name, context, kind, attributes, links, start_time),
            (record_exception, set_status_on_exception, end_on_exit),
        )

    def finished(self, span: LedgerSpan) -> None:
        """A span of this tracer ended: decide, hand it to processors, record it."""
        if self.provider.is_sampling and not self._kept(span):
            self.provider.recorder.sampled_out += 1
            return
        if self.provider.processors:
            from spanledger.tracing.joined import readable

            copy = readable(span, self)
            for processor in self.provider.processors:
                processor.on_end(copy)
        self.provider.recorder.take(span)

    def _kept(self, span: LedgerSpan) -> bool:
        """Errors and costly calls always; the others by their trace. Says on the span what it stands for."""
        facts = span.attributes
        important = span.status_code == 2 or semconv.STATUS in facts or self._costly(facts)
        if important or span.flags & 1:
            facts[semconv.SAMPLE_RATE] = 1.0 if important else self.provider.rate
            span.flags = 1
            return True
        return False

    def _costly(self, facts: dict[str, AttributeValue]) -> bool:
        tokens = 0
        for name in (semconv.INPUT_TOKENS, semconv.OUTPUT_TOKENS):
            value = facts.get(name)
            tokens += value if isinstance(value, int) else 0
        return tokens >= self.provider.keep_tokens


class CurrentSpan:
    """What ``start_as_current_span`` gives: a context manager, and a decorator for sync and async functions."""

    __slots__ = ("_end_on_exit", "_record", "_set_status", "_span", "_start", "_token", "_tracer")

    def __init__(self, tracer: Tracer, start: tuple[Any, ...], how: tuple[bool, bool, bool]) -> None:
        self._tracer = tracer
        self._start = start
        self._record, self._set_status, self._end_on_exit = how

    def __enter__(self) -> trace.Span:
        """Starts the span and makes it current."""
        name, context, kind, attributes, links, start_time = self._start
        self._span = span = self._tracer.start_span(name, context, kind, attributes, links, start_time)
        self._token = enter(span)
        return span

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Restores the current span and ends this one, with the exception if there is one."""
        leave(self._token)
        span = self._span
        if isinstance(exc_val, Exception) and span.is_recording():
            if self._record:
                span.record_exception(exc_val)
            if self._set_status:
                span.set_status(trace.StatusCode.ERROR, f"{type(exc_val).__name__}: {exc_val}")
        if self._end_on_exit:
            span.end()

    def __call__(self, function: F) -> F:
        """Decorate: every call has a span of its own."""
        how = (self._record, self._set_status, self._end_on_exit)

        def again() -> CurrentSpan:
            return CurrentSpan(self._tracer, self._start, how)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def inner_async(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

            return cast(F, inner_async)

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return cast(F, inner)
