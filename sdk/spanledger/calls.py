"""One call of an observed function: arguments in, then a result, items or an exception; a finished span out.

Whatever goes wrong in here is logged and the function runs on without its span.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Token
from typing import Any, Final, NamedTuple, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import active, runtime, semconv, snapshot
from spanledger.tracing.span import LedgerSpan

logger = logging.getLogger("spanledger")
_ITEMS: Final = 10_000  # of a generator; later ones are counted


class How(NamedTuple):
    """How one function is recorded."""

    name: str
    facts: dict[str, Any]
    arguments: Callable[[tuple[Any, ...], dict[str, Any]], object] | None
    result: bool


class Call:
    """A call whose span is current until it is over. Without a span (tracing is off) nothing happens."""

    __slots__ = ("how", "span", "token")

    span: trace.Span | None
    token: Token[Context] | None

    @classmethod
    def start(cls, how: How, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        """Start the span and make it current."""
        call = cls()
        call.how, call.span, call.token = how, None, None
        try:
            rt = runtime.current()
            if rt.enabled:
                call.span = span = active.begin(rt, how.name)
                if how.facts:
                    active.put(span, how.facts)
                if how.arguments is not None and rt.settings.capture == "full":
                    _set(span, semconv.INPUT, snapshot.dumps(how.arguments(args, kwargs)))
                call.opened()
        except Exception:  # the SDK's public face: tracing must not break its caller
            logger.debug("a span was not started", exc_info=True)
        return call

    def opened(self) -> None:
        """The span runs."""
        self.token = self.enter()

    def enter(self) -> Token[Context] | None:
        """Make the span current."""
        if self.span is None:
            return None
        return otel_context.attach(trace.set_span_in_context(self.span))

    @staticmethod
    def leave(token: Token[Context] | None) -> None:
        """Make current what was before."""
        if token is not None:
            otel_context.detach(token)

    def done(self, result: object) -> None:
        """The function returned."""
        span = self.span
        if span is None:
            return
        self.leave(self.token)
        try:
            if self.how.result and result is not None and runtime.current().settings.capture == "full":
                _set(span, semconv.OUTPUT, snapshot.dumps(result))
            span.end()
        except Exception:  # the SDK's public face: tracing must not break its caller
            logger.debug("a span was not finished", exc_info=True)

    def failed(self, error: BaseException) -> None:
        """The function raised."""
        span = self.span
        if span is None:
            return
        self.leave(self.token)
        try:
            active.fail(span, error)
            span.end()
        except Exception:  # the SDK's public face: tracing must not break its caller
            logger.debug("a span was not finished", exc_info=True)


class StreamCall(Call):
    """A generator's run. Its span is current only while the generator itself runs."""

    __slots__ = ("count", "items")

    def opened(self) -> None:
        """Nothing is current yet: the body has not begun."""
        self.items = list[object]()
        self.count = 0

    def item(self, item: object) -> None:
        """The generator yielded."""
        if self.span is not None:
            self.count += 1
            if self.count <= _ITEMS:
                self.items.append(item)

    def ended(self, value: object) -> None:
        """The generator returned."""
        self._collect(value)
        self.done(None)

    def failed(self, error: BaseException) -> None:
        """The generator raised, or was closed early: what it yielded until then is its output."""
        self._collect(None)
        super().failed(error)

    def _collect(self, value: object) -> None:
        span = self.span
        if span is None or not self.how.result or runtime.current().settings.capture != "full":
            return
        try:
            items = self.items
            if items and all(isinstance(item, str) for item in items) and value is None:
                _set(span, semconv.OUTPUT, snapshot.dumps("".join(map(str, items))))
            elif items or value is not None:
                _set(span, semconv.OUTPUT, snapshot.dumps(items if value is None else [*items, value]))
            if self.count > _ITEMS:
                _set(span, "spanledger.items", self.count)
        except Exception:  # the SDK's public face: tracing must not break its caller
            logger.debug("a generator's items were not recorded", exc_info=True)


def _set(span: trace.Span, name: str, value: str | int) -> None:
    if isinstance(span, LedgerSpan):
        span.attributes[name] = value  # the value is immutable and the name ours: no checks
    else:
        span.set_attribute(name, value)
