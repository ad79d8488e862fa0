"""One call of an observed function: arguments in, then a result, items or an exception; a finished span out.

Whatever goes wrong in here is logged and the function runs on without its span.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Token
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import active, runtime
from spanledger.semconv import INPUT, OUTPUT
from spanledger.snapshot import dumps, encoded
from spanledger.tracing.current import KEY, enter, leave, variable
from spanledger.tracing.span import LedgerSpan

logger = logging.getLogger("spanledger")
_ITEMS: Final = 10_000  # of a generator; later ones are counted


class How:
    """How one function is recorded."""

    __slots__ = ("arguments", "facts", "handed", "name", "result")

    def __init__(
        self,
        name: str,
        facts: dict[str, Any],
        handed: dict[str, Any],
        arguments: Callable[[tuple[Any, ...], dict[str, Any]], object] | None,
        result: bool,
    ) -> None:
        self.name = name
        self.facts = facts
        self.handed = handed or None
        self.arguments = arguments
        self.result = result


def start(how: How, args: tuple[Any, ...], kwargs: dict[str, Any]) -> trace.Span | None:
    """Start a call's span, without making it current; None when tracing is off or fails."""
    try:
        rt = runtime.active or runtime.current()
        ledger = rt.ledger
        if ledger is not None and not ledger.provider.is_watched:
            span = ledger.begin(how.name, 1, variable.get().get(KEY), None, how.facts)
            if how.handed is not None:
                active.hand_down(span, how.handed)
            if how.arguments is not None and rt.content:
                span.attributes[INPUT] = encoded(how.arguments(args, kwargs))
            return span
        return _start_elsewhere(rt, how, args, kwargs)
    except Exception:  # the SDK's public face: tracing must not break its caller
        logger.debug("a span was not started", exc_info=True)
        return None


def _start_elsewhere(
    rt: runtime.Runtime, how: How, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> trace.Span | None:
    """The same where an OpenTelemetry SDK makes the spans."""
    if not rt.enabled:
        return None
    span = active.begin(rt, how.name)
    span.set_attributes(how.facts)
    if how.handed is not None:
        active.hand_down(span, how.handed)
    if how.arguments is not None and rt.content:
        span.set_attribute(INPUT, dumps(how.arguments(args, kwargs)))
    return span


def done(span: trace.Span, how: How, result: object) -> None:
    """The function returned: end the span."""
    try:
        if how.result and result is not None and (runtime.active or runtime.current()).content:
            if type(span) is LedgerSpan:
                span.attributes[OUTPUT] = encoded(result)
            else:
                span.set_attribute(OUTPUT, dumps(result))
        span.end()
    except Exception:  # the SDK's public face
        logger.debug("a span was not finished", exc_info=True)


def failed(span: trace.Span, error: BaseException) -> None:
    """The function raised: end the span with the exception."""
    try:
        active.fail(span, error)
        span.end()
    except Exception:  # the SDK's public face
        logger.debug("a span was not finished", exc_info=True)


class StreamCall:
    """A generator's run. Its span is current only while the generator itself runs."""

    __slots__ = ("count", "how", "items", "span")

    def __init__(self, how: How, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.how = how
        self.span = start(how, args, kwargs)
        self.items = list[object]()
        self.count = 0

    def enter(self) -> Token[Context] | None:
        """The generator runs on."""
        return None if self.span is None else enter(self.span)

    def leave(self, token: Token[Context] | None) -> None:
        """The generator waits."""
        if token is not None:
            leave(token)

    def item(self, item: object) -> None:
        """The generator yielded."""
        if self.span is not None:
            self.count += 1
            if self.count <= _ITEMS:
                self.items.append(item)

    def ended(self, value: object) -> None:
        """The generator returned."""
        if self.span is not None:
            self._collect(self.span, value)
            done(self.span, self.how, None)

    def failed(self, error: BaseException) -> None:
        """The generator raised, or was closed early: what it yielded until then is its output."""
        if self.span is not None:
            self._collect(self.span, None)
            failed(self.span, error)

    def _collect(self, span: trace.Span, value: object) -> None:
        if not self.how.result or not runtime.current().content:
            return
        items = self.items
        if items and value is None and all(isinstance(item, str) for item in items):
            span.set_attribute(OUTPUT, dumps("".join(map(str, items))))
        elif items or value is not None:
            span.set_attribute(OUTPUT, dumps(items if value is None else [*items, value]))
        if self.count > _ITEMS:
            span.set_attribute("spanledger.items", self.count)
