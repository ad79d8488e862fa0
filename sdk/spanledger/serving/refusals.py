"""Refusals and failures in, the error body each API's clients understand out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from spanledger.serving.asks import Endpoint

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(slots=True)
class RefusedError(Exception):
    """Serving answers by itself with this status; ``code`` says why in one word.

    ``retry`` false tells official clients not to repeat the call on their own.
    """

    status: int
    code: str
    message: str
    retry_after_s: float | None = None
    retry: bool = True
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def headers(self) -> Iterable[tuple[bytes, bytes]]:
        """The headers that go with the status."""
        yield b"content-type", b"application/json"
        if self.retry_after_s is not None:
            yield b"retry-after", str(max(1, round(self.retry_after_s))).encode()
        if not self.retry:
            yield b"x-should-retry", b"false"

    def body(self, endpoint: Endpoint) -> bytes:
        """The body in the caller's API."""
        return error_body(endpoint, self.status, self.code, self.message, self.extra)


def error_body(
    endpoint: Endpoint, status: int, code: str, message: str, extra: dict[str, Any] | None = None
) -> bytes:
    """An error as OpenAI's or Anthropic's own API words it."""
    if endpoint == "messages":
        default = "invalid_request_error" if status < 500 else "api_error"
        error = {
            "type": _ANTHROPIC_TYPES.get(status, default),
            "message": message,
            "code": code,
            **(extra or {}),
        }
        return orjson.dumps({"type": "error", "error": error})
    default = "invalid_request_error" if status < 500 else "api_error"
    kind = _OPENAI_TYPES.get(status, default)
    error = {"message": message, "type": kind, "param": None, "code": code, **(extra or {})}
    return orjson.dumps({"error": error})
