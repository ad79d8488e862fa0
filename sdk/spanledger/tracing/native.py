"""Clients that trace themselves: below a wrapper of ours their own span would count the call twice."""

from __future__ import annotations

from opentelemetry import context as otel_context
from opentelemetry.context import Context

_KEY = otel_context.create_key("spanledger-suppressed-scope")
_scopes: set[str] = set()


def suppress(scope: str, context: Context) -> Context:
    """A context in which this instrumentation scope starts no spans."""
    _scopes.add(scope)
    return otel_context.set_value(_KEY, scope, context)


def suppressed(scope: str, context: Context | None) -> bool:
    """Whether this scope is not to start a span in this context (None: the current one)."""
    return scope in _scopes and otel_context.get_value(_KEY, context) == scope
