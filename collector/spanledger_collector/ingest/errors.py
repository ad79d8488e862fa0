"""Why a request is not acknowledged: one value that HTTP and gRPC each turn into their own answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Refused(Exception):
    """A request that was refused and not stored.

    ``reason`` is the metric label; ``retry_after_s`` is set only where the same request may be sent again.
    """

    http_status: int
    grpc_code: int
    reason: str
    message: str
    retry_after_s: int | None = None


def malformed(message: str) -> Refused:
    """The body is no OTLP request; it never will be."""
    return Refused(400, 3, "malformed", message)


def unauthenticated(message: str) -> Refused:
    """No key, or one that is unknown or revoked."""
    return Refused(401, 16, "unauthenticated", message)


def forbidden(message: str) -> Refused:
    """The key is known but lacks the scope."""
    return Refused(403, 7, "forbidden", message)


def too_large(limit: int) -> Refused:
    """Over the size limit, before or after inflation. Sending it again cannot help."""
    message = f"the request is over the limit of {limit} bytes (counted before and after inflation)"
    return Refused(413, 8, "too_large", message)


def unsupported(message: str) -> Refused:
    """A content type or encoding nobody here reads."""
    return Refused(415, 3, "unsupported", message)


def overloaded(reason: str, message: str, retry_after_s: int) -> Refused:
    """Nothing was stored; the same request may be sent again after ``retry_after_s`` seconds."""
    return Refused(503, 14, reason, message, retry_after_s)
