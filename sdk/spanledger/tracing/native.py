"""Clients that trace themselves: below a wrapper of ours their own span would count the call twice."""

from __future__ import annotations

from opentelemetry import context as otel_context
from opentelemetry.context import Context

_KEY = otel_context.create_key("spanledger-suppressed-scope")
scopes: set[str] = set()
"""Scopes that were suppressed at least once; only these need a look at the context."""


def suppress(scope: str, context: Context) -> Context:
    """A context in which this instrumentation scope starts no spans."""
    scopes.add(scope)
    return otel_context.set_value(_KEY, scope, context)


def suppressed(scope: str, context: Context | None) -> bool:
    """Whether this scope is not to start a span in this context (None: the current one)."""
    return otel_context.get_value(_KEY, context) == scope
