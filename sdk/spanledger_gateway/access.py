"""A request's key and size in, the key's document out, or the refusal of a key unknown or over its rate."""

from __future__ import annotations

import time

from spanledger.serving.asks import likely_input_tokens
from spanledger.serving.limits import RateLimits
from spanledger.serving.refusals import RefusedError
from spanledger.serving.snapshot import SnapshotKey

from . import metrics
from .calls import Attempt, Call
from .registry import Registry


def authenticate(registry: Registry, headers: dict[str, str]) -> SnapshotKey:
    """The key of the request, from ``Authorization: Bearer`` or ``x-api-key``.

    Raises:
        RefusedError: 401, none or an unknown one.
    """
    bearer = headers.get("authorization", "")
    presented = bearer[7:].strip() if bearer[:7].lower() == "bearer " else headers.get("x-api-key", "")
    key = registry.key(presented) if presented else None
    if key is None:
        message = "this key is not known here" if presented else "send a key as 'Authorization: Bearer KEY'"
        raise RefusedError(401, "invalid_api_key", message, retry=False)
    return key


class Rates:
    """Requests and model tokens a minute, by key. Each of a gateway's processes takes its share."""

    def __init__(self, processes: int) -> None:
        self._limits = RateLimits(1 / processes)

    def take(self, call: Call) -> None:
        """Count the call against its key's limits.

        Raises:
            RefusedError: 429, with the seconds after which it would fit.
        """
        key, now = call.key, time.monotonic()
        if key.requests_per_minute is not None:
            wait = self._limits.wait(key.id, "requests", key.requests_per_minute, 1, now)
            _refuse(wait, f"{key.requests_per_minute} requests a minute")
        if key.tokens_per_minute is not None:
            tokens = likely_input_tokens(call.ask) + (call.ask.max_tokens or 0) * call.ask.n
            wait = self._limits.wait(key.id, "tokens", key.tokens_per_minute, tokens, now)
            _refuse(wait, f"{key.tokens_per_minute} tokens a minute")
            call.booked_tokens = tokens

    def correct(self, call: Call, attempt: Attempt) -> None:
        """Replace what was thought of the call's tokens by what it used."""
        if call.key.tokens_per_minute is not None and attempt.usage is not None:
            self._limits.correct(call.key.id, "tokens", attempt.usage.total - call.booked_tokens)
            call.booked_tokens = attempt.usage.total


def _refuse(wait: float, limit: str) -> None:
    if wait > 0:
        metrics.count(metrics.REFUSED, "rate_limit")
        message = f"this key may make {limit}; try again in {wait:.0f} s"
        raise RefusedError(429, "rate_limit_exceeded", message, retry_after_s=wait)
