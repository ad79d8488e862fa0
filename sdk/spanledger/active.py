"""A span that is current while code runs: opened, updated, scored and closed, ours or an OpenTelemetry SDK's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import propagation, runtime, semconv, snapshot
from spanledger.otlp import AttributeValue
from spanledger.runtime import Runtime
from spanledger.tracing.joined import INHERITED
from spanledger.tracing.span import KINDS, LedgerSpan

_SPAN_KINDS: Final = {number: kind for kind, number in KINDS.items()}
INTERNAL, CLIENT = 1, 3
MODEL_OPERATIONS: Final = ("chat", "text_completion", "generate_content", "embeddings")
_USAGE: Final = {
    "input_tokens": semconv.INPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
    "cache_read_tokens": semconv.CACHE_READ_TOKENS,
    "cache_write_tokens": semconv.CACHE_WRITE_TOKENS,
    "reasoning_tokens": semconv.REASONING_TOKENS,
}


def begin(rt: Runtime, name: str, kind: int = INTERNAL) -> trace.Span:
    """Start a span below the current one, without making it current."""
    if rt.ledger is not None:
        span = rt.ledger.begin(name, kind, trace.get_current_span())
        for processor in rt.ledger.provider.processors:
            processor.on_start(span, None)
        return span
    return rt.tracer.start_span(name, kind=_SPAN_KINDS[kind])


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


def put(span: trace.Span, facts: Mapping[str, Any]) -> None:
    """Set attributes; None values are left out, and what a child must know is handed down."""
    told = {name: value for name, value in facts.items() if value is not None}
    if not isinstance(span, LedgerSpan):
        span.set_attributes(told)
        return
    span.set_attributes(told)
    handed = {name: span.attributes[name] for name in INHERITED if name in told and name in span.attributes}
    if handed:
        span.inherited = {**(span.inherited or {}), **handed}


def describe(
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    customer_id: str | None = None,
    feature: str | None = None,
    team: str | None = None,
    tags: Iterable[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    purpose: str | None = None,
    experiment: str | None = None,
    input: object = None,
    output: object = None,
    documents: Iterable[Mapping[str, object]] | None = None,
    operation: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    response_model: str | None = None,
    input_messages: object = None,
    output_messages: object = None,
    usage: Mapping[str, int] | None = None,
    tool: str | None = None,
    agent: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, AttributeValue]:
    """The span attributes for what `spanledger.update` was given."""
    facts: dict[str, Any] = {
        semconv.USER_ID: user_id,
        semconv.SESSION_ID: session_id,
        semconv.CUSTOMER_ID: customer_id,
        semconv.FEATURE: feature,
        semconv.TEAM: team,
        semconv.TAGS: None if tags is None else tuple(map(str, [tags] if isinstance(tags, str) else tags)),
        semconv.PURPOSE: purpose,
        semconv.EXPERIMENT: experiment,
        semconv.OPERATION: operation,
        semconv.PROVIDER: provider,
        semconv.REQUEST_MODEL: model,
        semconv.RESPONSE_MODEL: response_model,
        semconv.TOOL_NAME: tool,
        semconv.AGENT_NAME: agent,
    }
    for name, value in (
        (semconv.INPUT, input),
        (semconv.OUTPUT, output),
        (semconv.INPUT_MESSAGES, input_messages),
        (semconv.OUTPUT_MESSAGES, output_messages),
        (semconv.RETRIEVAL_DOCUMENTS, None if documents is None else list(documents)),
    ):
        facts[name] = None if value is None else snapshot.dumps(value)
    for name, value in (usage or {}).items():
        facts[_USAGE.get(name, name)] = value
    for key, value in (metadata or {}).items():
        scalar = isinstance(value, str | int | float)
        facts[f"{semconv.METADATA}.{key}"] = value if scalar or value is None else snapshot.dumps(value)
    facts.update(attributes or {})
    return {name: value for name, value in facts.items() if value is not None}


class ActiveSpan:
    """What ``with spanledger.span(...) as s`` gives: the open span and what may be told about it."""

    __slots__ = ("_facts", "_kind", "_name", "_runtime", "_span", "_token")

    def __init__(self, rt: Runtime, name: str, kind: int, facts: dict[str, AttributeValue]) -> None:
        self._runtime = rt
        self._name = name
        self._kind = kind
        self._facts = facts
        self._span: trace.Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def __enter__(self) -> ActiveSpan:
        """Starts the span and makes it current."""
        if self._runtime.enabled:
            self._span = span = begin(self._runtime, self._name, self._kind)
            put(span, self._facts)
            self._token = otel_context.attach(trace.set_span_in_context(span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Ends the span; an exception is recorded and goes on."""
        if self._token is None:
            return
        otel_context.detach(self._token)
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

    def update(self, **facts: Any) -> None:
        """As `spanledger.update`, for this span."""
        put(self._span, describe(**facts))

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


def open_span(name: str, kind: str, facts: dict[str, AttributeValue]) -> ActiveSpan:
    """A context manager for one span of the process's runtime."""
    from spanledger.otlp import KINDS as NUMBERS

    return ActiveSpan(runtime.current(), name, NUMBERS[kind], facts)
