"""The current span, read and set the short way: the same ContextVar that OpenTelemetry's context API uses.

`opentelemetry.context` takes five function calls to read a span and six to set one, which is most of what an
empty span costs. Where its runtime context is the usual one, its variable is used directly; else its functions.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""Under which OpenTelemetry keeps the current span."""


def _variable() -> ContextVar[Context] | None:
    otel_context.get_current()
    found = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    if not isinstance(found, ContextVar):
        return None
    variable = cast("ContextVar[Context]", found)
    token = otel_context.attach(Context({KEY: trace.INVALID_SPAN}))
    try:
        return variable if variable.get().get(KEY) is trace.INVALID_SPAN else None
    finally:
        otel_context.detach(token)


class _Slow:
    """The public functions in the shape of a ContextVar."""

    get = staticmethod(otel_context.get_current)
    set = staticmethod(otel_context.attach)
    reset = staticmethod(otel_context.detach)


variable: Final[Any] = _variable() or _Slow


def enter(span: trace.Span) -> Token[Context]:
    """Make a span current."""
    return variable.set(Context({**variable.get(), KEY: span}))


def leave(token: Token[Context]) -> None:
    """Make current what was before; in another context than the one of `enter` nothing happens."""
    try:  # noqa: SIM105  suppress() costs four times as much, and this is on every call's way
        variable.reset(token)
    except ValueError:
        # A generator's other half ran in another task: its context ends with it, there is nothing to restore.
        pass
