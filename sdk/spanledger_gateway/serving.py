"""One request in, one answer out: key, budget, cache, route, attempts, stream, and the record of it all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import orjson

from spanledger import ids, propagation, semconv
from spanledger.serving import replay
from spanledger.serving.asks import Ask, BadRequestError, Endpoint, parse
from spanledger.serving.budgets import nano
from spanledger.serving.caching import (
    Entry,
    Partition,
    exact_key,
    is_worth_keeping,
    may_look_up,
    may_store,
)
from spanledger.serving.failures import Failure
from spanledger.serving.relay import BrokenStreamError, cut_event
from spanledger.serving.snapshot import SnapshotKey

from . import metrics
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
from .attempts import Attempts, Live, Whole
from .calls import Attempt, Call
from .ledger import Ledger
from .pricing import Pricing
from .recording import Recording, cost_text
from .registry import Registry
from .replies import RefusedError, error_body
from .settings import GatewaySettings
from .states import RouteStates
from .upstreams import AttemptFailed

_IDLE_CHECKS = 4  # a stalled stream is noticed within a quarter of its limit


class Serving:
    """Serves the model endpoints."""

    def __init__(
        self,
        settings: GatewaySettings,
        registry: Callable[[], Registry],
        states: RouteStates,
        attempts: Attempts,
        cache: AnswerCache,
        ledger: Ledger,
        pricing: Pricing,
        recording: Recording,
    ) -> None:
        self._registry = registry
        self._states = states
        self._attempts = attempts
        self._cache = cache
        self._ledger = ledger
        self._pricing = pricing
        self._recording = recording
        self._max_body = settings.gateway_max_body_mb << 20

    async def __call__(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = time.time_ns()
        headers = headers_of(scope)
        call: Call | None = None
        try:
            key = authenticate(self._registry(), headers)
            ask = parse(endpoint, await read_body(receive, self._max_body))
            call = self._call(ask, key, headers, started)
            with Watch(receive) as watch:
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
            if call is not None:
                self._finish(call)

    def _call(self, ask: Ask, key: SnapshotKey, headers: dict[str, str], started: int) -> Call:
        registry = self._registry()
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
            state=self._states.get(key.project, ask.model),
            headers=headers,
            trace_id=parent.trace_id if parent else ids.new_trace_id(),
            span_id=ids.new_span_id(),
            parent_span_id=parent.span_id if parent else b"",
            sampled=parent.sampled if parent else True,
            started=started,
            fields={
                "team": key.team,
                "key_id": key.id,
                "user_id": headers.get("x-spanledger-user") or ask.user,
                "route": ask.model,
                "feature": headers.get("x-spanledger-feature", ""),
            },
        )

    async def _serve(self, call: Call, send: Send, watch: Watch) -> None:
        try:
            if await self._from_cache(call):
                await self._send_hit(call, send)
                return
            answer = await self._attempts.run(call)
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

    # The exact cache

    async def _from_cache(self, call: Call) -> bool:
        rule = call.route.cache
        if rule is None or not rule.exact:
            call.cache = "off"
            return False
        partition = Partition(
            project=call.key.project,
            team=call.key.team,
            route=call.ask.model,
            variant=call.headers.get("anthropic-beta", "") + call.headers.get("x-spanledger-prompt", ""),
        )
        digest = exact_key(partition, call.ask)
        if may_store(call.headers, call.ask):
            call.digest = digest
        if not may_look_up(call.headers, call.ask):
            call.cache = "off"
            return False
        entry = await self._cache.get(call.key.project, digest, rule.ttl_s)
        metrics.child(metrics.CACHE, "hit" if entry else "miss").inc()
        call.cache = "exact" if entry else "miss"
        call.entry = entry
        call.digest = digest if entry else call.digest
        return entry is not None

    async def _send_hit(self, call: Call, send: Send) -> None:
        entry = call.entry
        if entry is None:
            return
        call.first_answer = time.time_ns()
        headers = [*self._headers(call), (b"x-spanledger-cost", b"0")]
        if call.ask.stream:
            body = replay.stream(call.endpoint, entry.body, with_usage=call.ask.wants_stream_usage)
            await send_whole(send, 200, [SSE, *headers], body)
        else:
            await send_whole(send, 200, [JSON, *headers], entry.body)

    def _keep(self, call: Call, attempt: Attempt, body: bytes | None) -> None:
        rule = call.route.cache
        if rule is None or not call.digest or not is_worth_keeping(attempt.answer):
            return
        whole = body or _put_together(attempt)
        if whole is None:
            return
        entry = Entry(
            body=whole,
            stored_at=time.time_ns(),
            model=attempt.answer.model,
            provider=attempt.provider,
            upstream=attempt.target.upstream,
            cost=format(attempt.cost.total, "f") if attempt.cost else "",
            trace_id=call.trace_id.hex(),
        )
        self._cache.put(call.key.project, call.digest, entry, rule.ttl_s)

    # Answers of upstreams

    async def _send_whole(self, call: Call, answer: Whole, send: Send) -> None:
        attempt = answer.attempt
        self._close(call, attempt)
        headers = [JSON, *self._headers(call), *_request_id(answer.request_id)]
        if attempt.cost is not None:
            headers.append((b"x-spanledger-cost", cost_text(attempt.cost.total).encode()))
        call.first_answer = time.time_ns()
        self._keep(call, attempt, answer.body)
        await send_whole(send, 200, headers, answer.body)

    async def _send_stream(self, call: Call, live: Live, send: Send) -> None:
        attempt = live.attempt
        try:
            await send_head(send, 200, [SSE, *self._headers(call), *_request_id(live.request_id)])
            call.first_answer = time.time_ns()
            try:
                await self._pump(live, send)
            except BrokenStreamError as broken:
                attempt.status = call.status = "cut"
                call.error_type, call.message = "stream_cut", str(broken)
                end = broken.pending + cut_event(call.endpoint, str(broken))
                await send({"type": "http.response.body", "body": end})
        finally:
            await _let_go(live)
        metrics.child(metrics.STREAMS, attempt.status).inc()
        self._close(call, attempt)
        if attempt.status == "ok":
            self._keep(call, attempt, None)

    async def _pump(self, live: Live, send: Send) -> None:
        """Pass the stream on until its end.

        Raises:
            BrokenStreamError: it broke off, stalled, or carried an error.
        """
        content, relay = live.response.content, live.relay
        with _Stall(live.response, live.attempt.upstream.first_token_timeout_s) as stall:
            out = live.held
            if live.broken is not None:
                live.broken.pending = out + live.broken.pending
                raise live.broken
            while not relay.answer.ended:
                if out:
                    await send({"type": "http.response.body", "body": out, "more_body": True})
                try:
                    data = await content.readany()
                except (aiohttp.ClientError, OSError) as wrong:
                    reason = (
                        "the provider's stream stalled" if stall.stalled else f"the stream broke off: {wrong}"
                    )
                    raise BrokenStreamError(reason) from wrong
                stall.active = True
                if not data:
                    if stall.stalled:
                        raise BrokenStreamError("the provider's stream stalled")
                    out = relay.close()
                    break
                out = relay.feed(data)
            await send({"type": "http.response.body", "body": out})

    async def _send_failure(self, call: Call, failure: Failure, send: Send) -> None:
        """No target answered: a caller's own mistake keeps the provider's words, the rest is a gateway's error."""
        call.status = "error"
        call.error_type, call.message = failure.error_type, failure.message
        status, code = _status_of(failure)
        call.http_status = status
        headers = [JSON, *self._headers(call)]
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
            headers += self._headers(call)
        else:
            metrics.child(metrics.REQUESTS, endpoint, str(refused.status)).inc()
            metrics.child(metrics.REFUSED, refused.code).inc()
        await send_whole(send, refused.status, headers, refused.body(endpoint))

    # The end of a call

    def _close(self, call: Call, attempt: Attempt) -> None:
        """Usage, cost, settlement and verdict of the attempt that answered."""
        self._attempts.ended(attempt)
        self._pricing.close(call, attempt)
        if call.booking is not None:
            if attempt.status == "ok":
                self._pricing.learn(call, attempt)
            self._ledger.settle(call.booking, nano(attempt.cost.total) if attempt.cost else 0)

    def _caller_left(self, call: Call) -> None:
        call.status, call.error_type, call.http_status = "cancelled", "client_disconnected", 499
        attempt = call.attempts[-1] if call.attempts else None
        if attempt is not None and attempt.failure is None and attempt.reached and not attempt.ended:
            attempt.status = "cancelled"
            self._close(call, attempt)
            metrics.child(metrics.STREAMS, "cancelled").inc()

    def _finish(self, call: Call) -> None:
        if call.booking is not None and not call.booking.closed:
            self._ledger.settle(call.booking, 0)
        metrics.child(metrics.REQUESTS, call.endpoint, str(call.http_status)).inc()
        if call.first_answer:
            metrics.OVERHEAD.labels(call.endpoint).observe((call.first_answer - call.started) / 1e9)
        if len(call.attempts) > 1 and call.served_by is not None:
            metrics.child(metrics.FALLBACKS, call.ask.model).inc()
        self._recording.record(call, time.time_ns())

    @staticmethod
    def _headers(call: Call) -> list[Header]:
        headers = [
            (semconv.HEADER_TRACE_ID.encode(), call.trace_id.hex().encode()),
            (semconv.HEADER_CACHE.encode(), (call.cache or "off").encode()),
        ]
        served = call.served_by
        if call.entry is not None:
            headers.append((semconv.HEADER_UPSTREAM.encode(), _ascii(call.entry.upstream)))
        elif served is not None:
            headers.append((semconv.HEADER_UPSTREAM.encode(), _ascii(served.target.upstream)))
            if served.fallback_from:
                headers.append((semconv.HEADER_FALLBACK.encode(), _ascii(served.fallback_from)))
        return headers


async def _let_go(live: Live) -> None:
    """Give the connection back when the provider's last bytes are there or about to come; else close it."""
    response = live.response
    try:
        if live.relay.answer.ended and not response.content.at_eof():
            async with asyncio.timeout(0.2):
                await response.content.readany()
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    finally:
        response.release() if response.content.at_eof() else response.close()


class _Stall:
    """Closes a response when nothing arrives for too long; one timer a stream, not one a chunk."""

    def __init__(self, response: aiohttp.ClientResponse, limit_s: float) -> None:
        self.active = True
        self.stalled = False
        self._response = response
        self._step_s = limit_s / _IDLE_CHECKS
        self._quiet = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> _Stall:
        self._again()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._step_s, self._check)

    def _check(self) -> None:
        self._quiet = 0 if self.active else self._quiet + 1
        self.active = False
        if self._quiet >= _IDLE_CHECKS:
            self.stalled = True
            self._response.close()
        else:
            self._again()


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


def _put_together(attempt: Attempt) -> bytes | None:
    """A streamed answer as the whole body that its caller would have got."""
    whole = replay.body(attempt.wire, attempt.answer)
    if whole is None or attempt.translation is None:
        return whole
    return orjson.dumps(attempt.translation.answer(orjson.loads(whole)))


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
