"""A request's key and size in, the key's document out, or the refusal of a key unknown or over its rate."""

from __future__ import annotations

import asyncio
import time

from spanledger.serving.asks import likely_input_tokens
from spanledger.serving.limits import CORRECT, TAKE, RateLimits, bucket_key
from spanledger.serving.refusals import RefusedError
from spanledger.serving.snapshot import SnapshotKey

from . import metrics
from .calls import Attempt, Call
from .redis_link import RedisLink, Script
from .redis_wire import RedisAwayError, UnknownScriptError
from .registry import Registry

_TAKE, _CORRECT = Script(TAKE), Script(CORRECT)


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
    """Requests and model tokens a minute, by key, shared by all gateways; while Redis is away each process has its part."""

    def __init__(self, link: RedisLink, processes: int) -> None:
        self._link = link
        self._own = RateLimits(1 / processes)

    async def take(self, call: Call) -> None:
        """Count the call against its key's limits.

        Raises:
            RefusedError: 429, with the seconds after which it would fit.
        """
        key = call.key
        if key.requests_per_minute is None and key.tokens_per_minute is None:
            return
        tokens = likely_input_tokens(call.ask) + (call.ask.max_tokens or 0) * call.ask.n
        wait, is_requests = await self._taken(key, tokens)
        limit = key.requests_per_minute if is_requests else key.tokens_per_minute
        _refuse(wait, f"{limit} {'requests' if is_requests else 'tokens'} a minute")
        call.booked_tokens = tokens

    def correct(self, call: Call, attempt: Attempt) -> None:
        """Replace what was thought of the call's tokens by what it used."""
        if call.key.tokens_per_minute is None or attempt.usage is None:
            return
        more, call.booked_tokens = attempt.usage.total - call.booked_tokens, attempt.usage.total
        self._own.correct(call.key.hash, "tokens", more)
        future = self._link.script(_CORRECT, [bucket_key(call.key.hash, "tokens")], [more])
        future.add_done_callback(_heard)

    async def _taken(self, key: SnapshotKey, tokens: int) -> tuple[float, bool]:
        """(seconds to wait, whether it is for the limit of requests)."""
        keys = [bucket_key(key.hash, "requests"), bucket_key(key.hash, "tokens")]
        limits = (key.requests_per_minute, key.tokens_per_minute)
        first, second = (-1 if limit is None else limit for limit in limits)
        try:
            wait, place = await self._ask(keys, [first, 1, second, tokens])
            return float(wait), place == 1
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "rate_limit")
            return self._taken_here(key, tokens)

    async def _ask(self, keys: list[str], arguments: list[int]) -> tuple[bytes, int]:
        try:
            return await self._link.script(_TAKE, keys, arguments)
        except UnknownScriptError:
            self._link.forget_scripts()
        return await self._link.script(_TAKE, keys, arguments)

    def _taken_here(self, key: SnapshotKey, tokens: int) -> tuple[float, bool]:
        now = time.monotonic()
        if key.requests_per_minute is not None:
            wait = self._own.wait(key.hash, "requests", key.requests_per_minute, 1, now)
            if wait > 0:
                return wait, True
        if key.tokens_per_minute is not None:
            return self._own.wait(key.hash, "tokens", key.tokens_per_minute, tokens, now), False
        return 0.0, False


def _heard(future: asyncio.Future[object]) -> None:
    if not future.cancelled() and future.exception() is not None:
        metrics.count(metrics.REDIS_ERRORS, "rate_limit")


def _refuse(wait: float, limit: str) -> None:
    if wait > 0:
        metrics.count(metrics.REFUSED, "rate_limit")
        message = f"this key may make {limit}; try again in {wait:.0f} s"
        raise RefusedError(429, "rate_limit_exceeded", message, retry_after_s=wait)
