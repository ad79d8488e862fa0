"""A span while it is open: OpenTelemetry's span API in, the facts of `spanledger.span_facts.SpanFacts` out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util import types

from spanledger import semconv
from spanledger.span_facts import AttributeValue, Event, Link

if TYPE_CHECKING:
    from spanledger.tracing.provider import Tracer

logger = logging.getLogger("spanledger")

MAX_ATTRIBUTES = MAX_EVENTS = MAX_LINKS = 128  # the OpenTelemetry SDK's own limits
KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_STATUS = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}
_SAFE = frozenset((str, int, float, bool))  # values that nobody can change


class LedgerSpan(Span):
    """An open span. Attributes are kept by reference until the end; `inherited` goes to each child."""

    # All are set by `Tracer.begin`: a value that stood in the class would be found five times slower.
    tracer: Tracer
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    start_time: int
    end_time: int
    attributes: dict[str, AttributeValue]
    scope: bytes
    kind: int
    flags: int
    trace_state: str
    events: Sequence[Event]
    links: Sequence[Link]
    status_code: int
    status_message: str
    dropped: tuple[int, int, int]
    inherited: dict[str, AttributeValue] | None
    open: bool

    # Reading

    def get_span_context(self) -> SpanContext:
        """The ids, for other instrumentations and propagators."""
        return SpanContext(
            int.from_bytes(self.trace_id, "big"),
            int.from_bytes(self.span_id, "big"),
            is_remote=False,
            trace_flags=TraceFlags(self.flags),
            trace_state=TraceState.from_header([self.trace_state]) if self.trace_state else TraceState(),
        )

    def is_recording(self) -> bool:
        """Whether it still takes attributes."""
        return self.open

    # Writing

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        """Set one attribute; after the end, or with an empty key, it is ignored with a warning."""
        attributes = self.attributes
        if not self.open or not key or (len(attributes) >= MAX_ATTRIBUTES and key not in attributes):
            self._refuse(key)
            return
        attributes[key] = value if type(value) in _SAFE else frozen(value)

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        """Set several attributes."""
        own = self.attributes
        if not self.open or len(own) + len(attributes) > MAX_ATTRIBUTES or "" in attributes:
            for key, value in attributes.items():
                self.set_attribute(key, value)
            return
        own.update(cast("dict[str, Any]", attributes))
        for key, value in attributes.items():
            if type(value) not in _SAFE:
                own[key] = frozen(value)

    def cut_attributes(self) -> None:
        """Drop the latest attributes beyond what a span may have, and count them."""
        own = self.attributes
        for key in list(own)[MAX_ATTRIBUTES:]:
            del own[key]
            self._drop(0)

    def _refuse(self, key: str) -> None:
        if self._writable("attribute") and key:
            self._drop(0)

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, now or at ``timestamp`` ns."""
        if not self._writable("event"):
            return
        if len(self.events) >= MAX_EVENTS:
            self._drop(1)
            return
        when = self.tracer.clock() if timestamp is None else timestamp
        self.events = (*self.events, (name, when, frozen_pairs(attributes)))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Link to another span."""
        if not self._writable("link") or not (
            context.is_valid or attributes or context.trace_state
        ):  # the specification asks to keep an invalid context that says something
            return
        if len(self.links) >= MAX_LINKS:
            self._drop(2)
            return
        self.links = (*self.links, link_of(context, attributes))

    def update_name(self, name: str) -> None:
        """Rename it."""
        if self._writable("name"):
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; ``OK`` is final and ``UNSET`` is ignored, as the specification says."""
        if not self._writable("status"):
            return
        if isinstance(status, Status):
            code, description = status.status_code, status.description
        else:
            code = status
        if code is StatusCode.UNSET or self.status_code == 1:
            return
        self.status_code = _STATUS[code]
        self.status_message = (description or "") if code is StatusCode.ERROR else ""

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with its type, message and traceback."""
        self.add_event("exception", exception_facts(exception, attributes, escaped), timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Finish: the span goes to the recorder and takes nothing more."""
        if not self.open:
            logger.warning("Calling end() on the ended span %r.", self.name)
            return
        self.open = False
        tracer = self.tracer
        self.end_time = tracer.clock() if end_time is None else end_time
        provider = tracer.provider
        if provider.plain:
            provider.take(self)
        else:
            tracer.finished(self)

    @staticmethod
    def failure(error: BaseException) -> dict[str, str]:
        """What ended the code under a span: an error, or a cancellation (which is no error)."""
        if not isinstance(error, Exception):  # CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit
            return {semconv.STATUS: "cancelled"}
        return {semconv.ERROR_TYPE: type_name(error)}

    def fail(self, error: BaseException) -> None:
        """Record what ended the code under this span."""
        facts = self.failure(error)
        self.attributes.update(facts)
        if semconv.STATUS in facts:
            return
        self.record_exception(error, escaped=True)
        if self.status_code == 0:
            self.status_code, self.status_message = 2, f"{type(error).__name__}: {_message(error)}"

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Ends the span, with the exception if there is one."""
        if exc_val is not None and self.open:
            self.fail(exc_val)
        self.end()

    def _writable(self, what: str) -> bool:
        if self.open:
            return True
        logger.warning("Setting %s on the ended span %r.", what, self.name)
        return False

    def _drop(self, position: int) -> None:
        counts = list(self.dropped)
        counts[position] += 1
        self.dropped = (counts[0], counts[1], counts[2])


def frozen(value: Any) -> Any:
    """A value that a later change by its owner does not reach."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is list or kind is tuple:
        for item in value:
            if type(item) not in _SAFE:
                break
        else:
            return tuple(value)
    if isinstance(value, Mapping):
        return {str(k): frozen(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(frozen(item) for item in cast("Sequence[object]", value))
    return value


def frozen_pairs(attributes: types.Attributes | None) -> dict[str, AttributeValue]:
    """Attributes of an event or link, as many as a span may have."""
    if not attributes:
        return {}
    return {key: frozen(value) for key, value in list(attributes.items())[:MAX_ATTRIBUTES]}


def link_of(context: SpanContext, attributes: types.Attributes | None) -> Link:
    """A link as the encoder takes it."""
    return (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        frozen_pairs(attributes),
        context.trace_state.to_header(),
        int(context.trace_flags),
    )


def type_name(error: BaseException) -> str:
    """The exception's full class name; builtins without their module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_facts(
    exception: BaseException, attributes: types.Attributes | None = None, escaped: bool = False
) -> dict[str, types.AttributeValue]:
    """An exception as the attributes of an ``exception`` event."""
    facts: dict[str, types.AttributeValue] = {
        "exception.type": type_name(exception),
        "exception.message": _message(exception),
        "exception.stacktrace": "".join(
            traceback.format_exception(type(exception), exception, exception.__traceback__)
        ),
        "exception.escaped": str(escaped),
    }
    return facts | dict(attributes or {})


def _message(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception:  # noqa: BLE001  an application's own __str__ may raise anything
        return f"<{type(exception).__name__} without a message>"
