"""A span that is current while code runs: opened, updated, scored and closed, ours or an OpenTelemetry SDK's."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Unpack

from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import propagation, runtime, semconv
from spanledger.runtime import Runtime
from spanledger.telling import Told, describe
from spanledger.tracing.current import KEY, enter, leave, variable
from spanledger.tracing.span import KINDS, MAX_ATTRIBUTES, LedgerSpan

_SPAN_KINDS: Final = {number: kind for kind, number in KINDS.items()}
INTERNAL, CLIENT = 1, 3
MODEL_OPERATIONS: Final = ("chat", "text_completion", "generate_content", "embeddings")


def begin(rt: Runtime, name: str, kind: int = INTERNAL, start_time: int | None = None) -> trace.Span:
    """Start a span below the current one, now or at ``start_time`` ns, without making it current."""
    if rt.ledger is not None:
        span = rt.ledger.begin(name, kind, variable.get().get(KEY), start_time)
        for processor in rt.ledger.provider.processors:
            processor.on_start(span, None)
        return span
    return rt.tracer.start_span(name, kind=_SPAN_KINDS[kind], start_time=start_time)


def fail(span: trace.Span, error: BaseException) -> None:
    """Record what ended the code under a span: an error, or a cancellation."""
    if isinstance(span, LedgerSpan):
        span.fail(error)
        return
    facts = LedgerSpan.failure(error)
    span.set_attributes(facts)
    if semconv.STATUS not in facts:
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")


def tell(span: trace.Span, told: Mapping[str, Any]) -> None:
    """Set what `spanledger.update` was told, and hand down what every span below must know.

    Raises:
        TypeError: a name that is not known.
    """
    handed: dict[str, Any] = {}
    if type(span) is LedgerSpan:
        if not span.open:
            return
        describe(told, span.attributes, handed)
    else:
        facts: dict[str, Any] = {}
        describe(told, facts, handed)
        span.set_attributes(facts)
    if handed:
        hand_down(span, handed)
    elif type(span) is LedgerSpan and len(span.attributes) > MAX_ATTRIBUTES:
        span.cut_attributes()


def hand_down(span: trace.Span, facts: dict[str, Any]) -> None:
    """Set attributes that each span below, started from now on, carries as well."""
    if type(span) is LedgerSpan:
        span.attributes.update(facts)
        inherited = span.inherited
        span.inherited = {**inherited, **facts} if inherited else facts
        if len(span.attributes) > MAX_ATTRIBUTES:
            span.cut_attributes()
    else:
        span.set_attributes(facts)


class ActiveSpan:
    """What ``with spanledger.span(...) as s`` gives: the open span and what may be told about it."""

    __slots__ = ("_facts", "_handed", "_kind", "_name", "_runtime", "_span", "_token")

    def __init__(
        self, rt: Runtime, name: str, kind: int, facts: dict[str, Any], handed: dict[str, Any]
    ) -> None:
        self._runtime = rt
        self._name = name
        self._kind = kind
        self._facts = facts
        self._handed = handed
        self._span: trace.Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def __enter__(self) -> ActiveSpan:
        """Starts the span and makes it current."""
        if self._runtime.enabled:
            self._span = span = begin(self._runtime, self._name, self._kind)
            span.set_attributes(self._facts)
            if self._handed:
                hand_down(span, dict(self._handed))
            self._token = enter(span)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Ends the span; an exception is recorded and goes on."""
        if self._token is None:
            return
        leave(self._token)
        self._token = None
        if error is not None:
            fail(self._span, error)
        self._span.end()

    async def __aenter__(self) -> ActiveSpan:
        """As ``with``."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """As ``with``."""
        self.__exit__(kind, error, tb)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; all zero when tracing is off."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits; all zero when tracing is off."""
        return trace.format_span_id(self._span.get_span_context().span_id)

    @property
    def traceparent(self) -> str:
        """The W3C header for a request made inside."""
        return traceparent_of(self._span)

    @property
    def otel_span(self) -> trace.Span:
        """The span as OpenTelemetry knows it."""
        return self._span

    def update(self, **told: Unpack[Told]) -> None:
        """As `spanledger.update`, for this span."""
        tell(self._span, told)

    def score(self, name: str, value: float | bool | str, comment: str = "") -> None:
        """As `spanledger.score`, for this span."""
        self._span.add_event(semconv.EVALUATION_EVENT, score_facts(name, value, comment))


def score_facts(name: str, value: float | bool | str, comment: str) -> dict[str, Any]:
    """A score as the attributes of its event; a text value is a label."""
    facts: dict[str, Any] = {semconv.SCORE_NAME: name}
    if isinstance(value, str):
        facts[semconv.SCORE_LABEL] = value
    else:
        facts[semconv.SCORE_VALUE] = float(value)
    if comment:
        facts[semconv.SCORE_EXPLANATION] = comment
    return facts


def traceparent_of(span: trace.Span) -> str:
    """The W3C header that names this span; empty for an invalid one."""
    if isinstance(span, LedgerSpan):
        return propagation.format(span.trace_id, span.span_id, sampled=bool(span.flags & 1))
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return propagation.format(
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        sampled=bool(context.trace_flags & 1),
    )


def open_span(name: str, kind: str, told: Mapping[str, Any]) -> ActiveSpan:
    """A context manager for one span of the process's runtime."""
    from spanledger.otlp import KINDS as NUMBERS

    facts: dict[str, Any] = {}
    handed: dict[str, Any] = {}
    describe(told, facts, handed)
    return ActiveSpan(runtime.current(), name, NUMBERS[kind], facts, handed)
