"""One request in, one answer out: key, limits, guards, cache, attempts, and the record of it all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from spanledger import ids, propagation, semconv
from spanledger.serving import replay
from spanledger.serving.asks import Ask, BadRequestError, Endpoint, parse
from spanledger.serving.budgets import nano
from spanledger.serving.failures import Failure
from spanledger.serving.refusals import RefusedError, error_body
from spanledger.serving.relay import BrokenStreamError, cut_event
from spanledger.serving.snapshot import SnapshotKey

from . import metrics
from .access import Rates, authenticate
from .answers import AnswerCache
from .asgi import (
    JSON,
    SSE,
    BodyTooLargeError,
    CallerGoneError,
    Header,
    Receive,
    Scope,
    Send,
    Watch,
    headers_of,
    read_body,
    send_head,
    send_whole,
)
from .asking import Live, Whole
from .attempts import Attempts
from .audits import Audits
from .calls import Attempt, Call
from .hooks import Hook, View, on_request, on_response
from .later import Later
from .ledger import Ledger
from .pricing import Pricing
from .recording import Recording, cost_text
from .registry import Registry
from .shadow import Shadows
from .states import RouteStates
from .streaming import drain, let_go, pump
from .upstreams import AttemptFailed

logger = logging.getLogger("spanledger.gateway")

_MOST_DRAINS = 64
_TRACE_ID, _CACHE = semconv.HEADER_TRACE_ID.encode(), semconv.HEADER_CACHE.encode()
_UPSTREAM, _FALLBACK = semconv.HEADER_UPSTREAM.encode(), semconv.HEADER_FALLBACK.encode()
_ENTRY = semconv.HEADER_CACHE_ENTRY.encode()
_COST = semconv.HEADER_COST.encode()


@dataclass(slots=True)
class Parts:
    """What serving a request needs."""

    registry: Callable[[], Registry]
    states: RouteStates
    attempts: Attempts
    cache: AnswerCache
    ledger: Ledger
    pricing: Pricing
    recording: Recording
    rates: Rates
    hooks: list[Hook]
    shadows: Shadows
    audits: Audits
    max_body: int


class Serving:
    """Serves the model endpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._drains: set[asyncio.Task[None]] = set()
        self._later = Later()

    async def __call__(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = time.time_ns()
        headers = headers_of(scope)
        call: Call | None = None
        try:
            key = authenticate(self._parts.registry(), headers)
            ask = parse(endpoint, await read_body(receive, self._parts.max_body))
            call = self._call(ask, key, headers, started)
            with Watch(scope, receive) as watch:
                await self._serve(call, send, watch)
        except CallerGoneError:
            return
        except RefusedError as refused:
            await self._refuse(endpoint, call, refused, send)
        except BadRequestError as wrong:
            await self._refuse(endpoint, call, RefusedError(400, "invalid_request", str(wrong)), send)
        except BodyTooLargeError as wrong:
            await self._refuse(endpoint, call, RefusedError(413, "request_too_large", str(wrong)), send)
        except BaseException as broken:
            if call is not None:
                call.status, call.http_status, call.error_type = "error", 500, type(broken).__name__
            raise
        finally:
            if call is not None and not call.is_draining:
                self._later.do(self._finish, call, time.time_ns())

    def _call(self, ask: Ask, key: SnapshotKey, headers: dict[str, str], started: int) -> Call:
        registry = self._parts.registry()
        project = registry.project(key.project)
        route = project.routes.get(ask.model)
        if route is None:
            raise RefusedError(
                404, "model_not_found", f"the model {ask.model!r} does not exist or is not yours"
            )
        parent = propagation.parse(headers.get(propagation.HEADER))
        return Call(
            endpoint=ask.endpoint,
            ask=ask,
            key=key,
            registry=registry,
            project=project,
            route=route,
            state=self._parts.states.get(key.project, ask.model),
            headers=headers,
            trace_id=parent.trace_id if parent else ids.new_trace_id(),
            span_id=ids.new_span_id(),
            parent_span_id=parent.span_id if parent else b"",
            sampled=parent.sampled if parent else True,
            started=started,
            fields=_fields(ask, key, headers),
        )

    async def _serve(self, call: Call, send: Send, watch: Watch) -> None:
        try:
            await self._parts.rates.take(call)
            await self._guard(call)
            if await self._parts.cache.look_up(call) is not None:
                await self._send_hit(call, send)
                self._parts.audits.maybe(call)
                return
            answer = await self._parts.attempts.run(call)
            if isinstance(answer, Live):
                await self._send_stream(call, answer, send)
            else:
                await self._send_whole(call, answer, send)
        except AttemptFailed as failed:
            await self._send_failure(call, failed.failure, send)
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            self._caller_left(call)

    async def _guard(self, call: Call) -> None:
        if self._parts.hooks:
            changed = await on_request(self._parts.hooks, _view(call))
            if changed is not None:
                call.ask = _changed(call, changed)

    async def _send_hit(self, call: Call, send: Send) -> None:
        entry = call.entry
        if entry is None:
            return
        call.first_answer = time.time_ns()
        headers = [*_headers(call), (_COST, b"0")]
        body = entry.body
        if self._parts.hooks:
            body = await on_response(self._parts.hooks, _view(call), body)
        if call.ask.stream:
            events = replay.stream(call.endpoint, body, with_usage=call.ask.wants_stream_usage)
            await send_whole(send, 200, [SSE, *headers], events)
        else:
            await send_whole(send, 200, [JSON, *headers], body)

    async def _send_whole(self, call: Call, answer: Whole, send: Send) -> None:
        attempt, body = answer.attempt, answer.body
        self._close(call, attempt)
        if self._parts.hooks:
            body = await on_response(self._parts.hooks, _view(call), body)
        headers = [JSON, *_headers(call), *_request_id(answer.request_id)]
        if attempt.cost is not None:
            headers.append((_COST, cost_text(attempt.cost.total).encode()))
        call.first_answer = time.time_ns()
        self._later.do(self._parts.cache.keep, call, attempt, answer.body)
        await send_whole(send, 200, headers, body)
        self._parts.shadows.maybe(call)

    async def _send_stream(self, call: Call, live: Live, send: Send) -> None:
        attempt = live.attempt
        try:
            await send_head(send, 200, [SSE, *_headers(call), *_request_id(live.request_id)])
            call.first_answer = time.time_ns()
            try:
                await pump(live, send)
            except BrokenStreamError as broken:
                attempt.status = call.status = "cut"
                call.error_type, call.message = "stream_cut", str(broken)
                end = broken.pending + cut_event(call.endpoint, str(broken))
                await send({"type": "http.response.body", "body": end})
        except asyncio.CancelledError:
            self._drain_later(call, live)
            raise
        finally:
            if not call.is_draining:
                await let_go(live)
        metrics.count(metrics.STREAMS, attempt.status)
        self._close(call, attempt)
        if attempt.status == "ok":
            self._parts.cache.keep(call, attempt, None)
            self._parts.shadows.maybe(call)

    async def _send_failure(self, call: Call, failure: Failure, send: Send) -> None:
        """No target answered: a caller's own mistake keeps the provider's words, the rest is a gateway's error."""
        call.status = "error"
        call.error_type, call.message = failure.error_type, failure.message
        status, code = _status_of(failure)
        call.http_status = status
        headers = [JSON, *_headers(call)]
        if failure.retry_after_s is not None:
            headers.append((b"retry-after", str(max(1, round(failure.retry_after_s))).encode()))
        message = failure.message or "no upstream could answer"
        same_api = not call.attempts or call.attempts[-1].translation is None
        body = failure.body if same_api and failure.reason == "refused" and failure.body[:1] == b"{" else b""
        await send_whole(send, status, headers, body or error_body(call.endpoint, status, code, message))

    async def _refuse(self, endpoint: Endpoint, call: Call | None, refused: RefusedError, send: Send) -> None:
        headers = list(refused.headers())
        if call is not None:
            call.status, call.http_status = "error", refused.status
            call.error_type, call.message = refused.code, refused.message
            headers += _headers(call)
        else:
            metrics.count(metrics.REQUESTS, endpoint, str(refused.status))
            metrics.count(metrics.REFUSED, refused.code)
        await send_whole(send, refused.status, headers, refused.body(endpoint))

    # The end of a call

    def _close(self, call: Call, attempt: Attempt) -> None:
        """Usage, cost, settlement and verdict of the attempt that answered."""
        parts = self._parts
        parts.attempts.ended(attempt)
        parts.pricing.close(call, attempt)
        parts.rates.correct(call, attempt)
        if call.booking is not None:
            if attempt.status == "ok":
                parts.pricing.learn(call, attempt)
            cost = nano(attempt.cost.total) if attempt.cost else 0
            self._later.do(parts.ledger.settle, call.booking, cost)

    def _caller_left(self, call: Call) -> None:
        attempt = call.attempts[-1] if call.attempts else None
        if attempt is not None and attempt.answer.ended and not attempt.ended:
            # It had the whole answer, and hung up before the provider's connection was given back.
            metrics.count(metrics.STREAMS, attempt.status)
            self._close(call, attempt)
            self._parts.cache.keep(call, attempt, None)
            return
        call.status, call.error_type, call.http_status = "cancelled", "client_disconnected", 499
        if call.is_draining or attempt is None or attempt.failure is not None:
            return
        if attempt.reached and not attempt.ended:
            attempt.status = "cancelled"
            self._close(call, attempt)
            metrics.count(metrics.STREAMS, "cancelled")

    def _drain_later(self, call: Call, live: Live) -> None:
        """Where the route says so, a vendor's stream is read on without its caller; engines are freed at once."""
        is_vendor = live.attempt.upstream.protocol != "vllm"
        if call.route.on_disconnect == "drain" and is_vendor and len(self._drains) < _MOST_DRAINS:
            call.is_draining = True
            self._parts.cache.land(call, None)
            task = asyncio.get_running_loop().create_task(self._drain(call, live))
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)

    async def _drain(self, call: Call, live: Live) -> None:
        live.held = b""
        try:
            await drain(live, live.attempt.upstream.timeout_s)
        except BrokenStreamError as broken:
            call.message = str(broken)
        finally:
            await let_go(live)
            live.attempt.status = "cancelled"
            self._close(call, live.attempt)
            metrics.count(metrics.STREAMS, "cancelled")
            self._later.do(self._finish, call, time.time_ns())

    def _finish(self, call: Call, ended: int) -> None:
        self._parts.cache.land(call, None)
        if call.booking is not None and not call.booking.closed:
            self._parts.ledger.settle(call.booking, 0)
        metrics.count(metrics.REQUESTS, call.endpoint, str(call.http_status))
        if call.first_answer:
            metrics.took(call.endpoint, (call.first_answer - call.started) / 1e9)
        if len(call.attempts) > 1 and call.served_by is not None:
            metrics.count(metrics.FALLBACKS, call.ask.model)
        thinking = call.meaning.thinking if call.meaning is not None else None
        if thinking is not None and not thinking.done():
            # The neighbour is part of the record; it is known in some milliseconds.
            thinking.add_done_callback(lambda _: self._parts.recording.record(call, ended))
        else:
            self._parts.recording.record(call, ended)


def _fields(ask: Ask, key: SnapshotKey, headers: dict[str, str]) -> dict[str, str]:
    return {
        "organisation": key.organisation,
        "team": key.team,
        "key_id": key.id,
        "user_id": headers.get("x-spanledger-user") or ask.user,
        "session_id": headers.get("x-spanledger-session", ""),
        "route": ask.model,
        "feature": headers.get("x-spanledger-feature", ""),
        "endpoint": ask.endpoint,
        "stream": "true" if ask.stream else "false",
        "purpose": headers.get("x-spanledger-purpose", ""),
    }


def _changed(call: Call, body: dict[str, Any]) -> Ask:
    """The request as a guard rewrote it; on the caller's own route, as the caller asked for it.

    Raises:
        RefusedError: what the guard made is no request; that is not the caller's fault.
    """
    fields = {name: value for name, value in body.items() if name != "stream"} | {"model": call.ask.model}
    if "stream" in call.ask.body:
        fields["stream"] = call.ask.stream
    try:
        return parse(call.endpoint, orjson.dumps(fields))
    except (BadRequestError, orjson.JSONEncodeError) as wrong:
        logger.warning("a guard made a request that cannot be served: %s", wrong)
        message = "a guard made a request that cannot be served"
        raise RefusedError(503, "guard_unavailable", message, retry_after_s=1) from wrong


def _view(call: Call) -> View:
    return View(
        endpoint=call.endpoint,
        route=call.ask.model,
        project=call.key.project,
        team=call.key.team,
        key_id=call.key.id,
        user_id=call.fields["user_id"],
        trace_id=call.trace_id.hex(),
        body=call.ask.body,
    )


def _headers(call: Call) -> list[Header]:
    headers = [(_TRACE_ID, call.trace_id.hex().encode()), (_CACHE, (call.cache or "off").encode())]
    served = call.served_by
    if call.entry is not None:
        headers.append((_UPSTREAM, _ascii(call.entry.upstream)))
        headers.append((_ENTRY, call.cache_entry.encode()))
    elif served is not None:
        headers.append((_UPSTREAM, _ascii(served.target.upstream)))
        if served.fallback_from:
            headers.append((_FALLBACK, _ascii(served.fallback_from)))
    return headers


def _status_of(failure: Failure) -> tuple[int, str]:
    if failure.reason == "refused":
        return failure.status, "upstream_refused"
    if failure.reason == "timeout":
        return 504, "upstream_timeout"
    if failure.status == 429:
        return 429, "upstream_rate_limited"
    return (503, "upstream_unavailable") if failure.status == 503 else (502, "upstream_failed")


def _request_id(value: str) -> list[Header]:
    return [(b"x-request-id", _ascii(value))] if value else []


def _ascii(value: str) -> bytes:
    return value.encode("ascii", "replace")
