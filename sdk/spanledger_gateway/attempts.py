"""A call in, the first answer of its targets out: each attempt, its verdict on the target, and what comes next."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import cast

import aiohttp
import orjson

from spanledger import ids, propagation
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Wire
from spanledger.serving.failures import Failure, of_status, wait_before_retry
from spanledger.serving.health import HealthBook
from spanledger.serving.protocols import chat
from spanledger.serving.protocols.values import Json, obj, text
from spanledger.serving.relay import READ_BODY, BrokenStreamError, Relay
from spanledger.serving.routing import name_of, order
from spanledger.serving.snapshot import Target, Upstream
from spanledger.serving.translate import UntranslatableError, translation

from . import metrics
from .calls import Attempt, Call, place_of
from .ledger import Ledger
from .pricing import Pricing
from .replies import RefusedError
from .settings import GatewaySettings
from .upstreams import AttemptFailed, Upstreams

_LARGEST_HELD = 1 << 20  # bytes of a stream before its first content event


@dataclass(slots=True)
class Whole:
    """A complete answer."""

    attempt: Attempt
    body: bytes
    request_id: str


@dataclass(slots=True)
class Live:
    """A stream whose first content event has come. ``held`` goes to the caller first.

    ``broken`` is set when the stream broke in the same bytes that brought its first content: what was
    seen commits, however fast the rest followed.
    """

    attempt: Attempt
    response: aiohttp.ClientResponse
    relay: Relay
    held: bytes
    request_id: str
    broken: BrokenStreamError | None = None


class Attempts:
    """Tries a call's targets in turn until one answers."""

    def __init__(
        self, settings: GatewaySettings, upstreams: Upstreams, ledger: Ledger, pricing: Pricing
    ) -> None:
        self.health = HealthBook()
        self._settings = settings
        self._upstreams = upstreams
        self._ledger = ledger
        self._pricing = pricing

    async def run(self, call: Call) -> Whole | Live:
        """The first answer.

        Raises:
            AttemptFailed: no target gave one; holds the failure that tells the caller most.
            RefusedError: a budget does not allow the call.
        """
        deadline = time.monotonic() + self._settings.gateway_deadline_s
        queue = self._plan(call)
        tried: dict[str, Failure] = {}
        rounds = 0
        while True:
            answer = await self._pass_through(call, queue, tried, deadline)
            if answer is not None:
                return answer
            again = [t for t in queue if tried[name_of(t)].counts_against_health]
            waits = [tried[name_of(t)].retry_after_s or 0.0 for t in again]
            wait = wait_before_retry(
                rounds, min(waits, default=0.0), now=time.monotonic(), deadline=deadline, draw=random.random()
            )
            if not again or wait is None:
                raise AttemptFailed(_most_telling(list(tried.values())))
            await asyncio.sleep(wait)
            rounds += 1
            queue = again

    def _plan(self, call: Call) -> list[Target]:
        return order(
            call.route,
            state=call.state,
            health=self.health,
            place=lambda target: place_of(call.project.upstreams.get(target.upstream), target),
            now=time.monotonic(),
            draw=random.random(),
            canary_draw=random.random(),
        )

    async def _pass_through(
        self, call: Call, queue: list[Target], tried: dict[str, Failure], deadline: float
    ) -> Whole | Live | None:
        """Ask each target once; None when all failed. A failure of the caller's own making ends it."""
        for target in queue:
            attempt = self._attempt(call, target)
            try:
                await self._book(call, attempt)
                return await self._ask(call, attempt, deadline)
            except RefusedError:
                call.attempts.remove(attempt)
                if not tried:
                    raise
                tried.setdefault(
                    attempt.name, Failure(reason="unusable", message="a budget does not allow it")
                )
            except AttemptFailed as failed:
                self._failed(attempt, failed.failure)
                if not failed.failure.is_target_at_fault:
                    raise
                tried[attempt.name] = failed.failure
        return None

    def _attempt(self, call: Call, target: Target) -> Attempt:
        upstream = call.project.upstreams.get(target.upstream)
        attempt = Attempt(
            number=len(call.attempts) + 1,
            target=target,
            upstream=upstream or Upstream(base_url=""),
            wire=_wire(call.ask, upstream),
            span_id=ids.new_span_id(),
            started=time.time_ns(),
        )
        usual = next((t for t in call.route.targets if t.role == "primary"), call.route.targets[0])
        if target.role == "fallback" or call.attempts:
            attempt.fallback_from = call.attempts[0].name if call.attempts else name_of(usual)
            failure = call.attempts[-1].failure if call.attempts else None
            attempt.reason = failure.error_type if failure else _unforced(call)
        call.attempts.append(attempt)
        return attempt

    async def _book(self, call: Call, attempt: Attempt) -> None:
        """Book the attempt's greatest cost; a booking of an earlier attempt is given back first."""
        book = call.registry.budgets(call.key.project)
        if book is None:
            return
        call.fields["model"], call.fields["upstream"] = attempt.target.model, attempt.target.upstream
        budgets = book.applied(call.fields, time.time())
        if not budgets:
            return
        estimate = self._pricing.estimate(call, attempt)
        if estimate is None and self._settings.gateway_unpriced == "refuse":
            metrics.child(metrics.REFUSED, "unpriced").inc()
            message = f"nobody knows the price of {attempt.target.model!r}, and a budget applies"
            raise RefusedError(429, "price_unknown", message, retry=False)
        amount, likely = estimate or (0, 0)
        if call.booking is not None:
            self._ledger.settle(call.booking, 0)
        call.booking = await self._ledger.reserve(attempt.span_id.hex(), budgets, amount, likely)

    async def _ask(self, call: Call, attempt: Attempt, deadline: float) -> Whole | Live:
        if not attempt.upstream.base_url:
            message = f"the route names an upstream {attempt.target.upstream!r}, which does not exist"
            raise AttemptFailed(Failure(reason="unusable", message=message))
        try:
            attempt.translation = translation(call.endpoint, attempt.wire)
            body = _body(call.ask, attempt)
        except UntranslatableError as wrong:
            raise AttemptFailed(Failure(reason="unusable", message=str(wrong))) from wrong
        now = time.monotonic()
        self.health.begin(attempt.place, now)
        attempt.started = time.time_ns()
        upstream = attempt.upstream
        limit = upstream.first_token_timeout_s if call.ask.stream else upstream.timeout_s
        try:
            async with asyncio.timeout(min(limit, max(0.05, deadline - now))):
                response = await self._open(call, attempt, body)
                if call.ask.stream:
                    return await _start_stream(call, attempt, response)
                return await _read_whole(attempt, response)
        except TimeoutError:
            message = f"no answer within {limit:g} s"
            raise AttemptFailed(Failure(reason="timeout", message=message)) from None
        except asyncio.CancelledError:
            attempt.reached = True  # the provider may well have worked on it
            self.health.abandoned(attempt.place)
            raise

    async def _open(self, call: Call, attempt: Attempt, body: bytes) -> aiohttp.ClientResponse:
        traceparent = propagation.format(call.trace_id, attempt.span_id, sampled=call.sampled)
        response = await self._upstreams.post(attempt.upstream, attempt.wire, body, call.headers, traceparent)
        if response.status == 200:
            return response
        try:
            content = await response.content.read(1 << 16)
        except (aiohttp.ClientError, OSError):
            content = b""
        response.close()
        retry_after = response.headers.get("retry-after", "")
        if response.status < 400:
            message = f"the provider answered with status {response.status}"
            raise AttemptFailed(Failure(reason="malformed", status=response.status, message=message))
        raise AttemptFailed(of_status(response.status, content, retry_after, _error_message(content)))

    def _failed(self, attempt: Attempt, failure: Failure) -> None:
        attempt.failure = failure
        attempt.ended = time.time_ns()
        attempt.status = "error"
        metrics.child(metrics.ATTEMPTS, attempt.target.upstream, failure.error_type).inc()
        if failure.counts_against_health:
            self.health.failed(attempt.place, time.monotonic(), failure.retry_after_s)
        else:
            self.health.abandoned(attempt.place)

    def ended(self, attempt: Attempt) -> None:
        """The answer is over; a cut counts against the target like any failure."""
        attempt.ended = time.time_ns()
        metrics.child(metrics.ATTEMPTS, attempt.target.upstream, attempt.status).inc()
        if attempt.status == "ok":
            self.health.succeeded(attempt.place)
        elif attempt.status == "cut":
            self.health.failed(attempt.place, time.monotonic())
        else:
            self.health.abandoned(attempt.place)


async def _read_whole(attempt: Attempt, response: aiohttp.ClientResponse) -> Whole:
    try:
        body = await response.read()
    except (aiohttp.ClientError, OSError) as wrong:
        raise AttemptFailed(Failure(reason="reset", message=f"the answer broke off: {wrong}")) from wrong
    finally:
        response.close() if not response.content.at_eof() else response.release()
    parsed = _json_object(body)
    error = chat.error_of(parsed) if attempt.wire != "responses" else None
    if error is not None:
        message = text(error.get("message")) or "the provider reported an error"
        raise AttemptFailed(Failure(reason="stream_error", message=message, body=body))
    attempt.answer = READ_BODY[attempt.wire](parsed)
    attempt.first_content = time.time_ns()
    attempt.reached = True
    if attempt.translation is not None:
        body = orjson.dumps(attempt.translation.answer(parsed))
    return Whole(attempt, body, _request_id(response))


async def _start_stream(call: Call, attempt: Attempt, response: aiohttp.ClientResponse) -> Live:
    """Read up to the first content event, so that whatever goes wrong before it can still fall back."""
    strip = attempt.wire == "chat" and not call.ask.wants_stream_usage
    wants_usage = call.ask.wants_stream_usage
    translator = attempt.translation.stream(wants_usage) if attempt.translation else None
    relay = Relay(attempt.wire, strip_usage=strip, translator=translator)
    attempt.answer = relay.answer
    held: list[bytes] = []
    size = 0
    broken: BrokenStreamError | None = None
    try:
        while not relay.started:
            data = await response.content.readany()
            piece = relay.feed(data) if data else relay.close()
            held.append(piece)
            size += len(piece)
            if not data or size > _LARGEST_HELD:
                break
    except (BrokenStreamError, aiohttp.ClientError, OSError) as wrong:
        response.close()
        if relay.started and isinstance(wrong, BrokenStreamError):
            broken = wrong
        else:
            attempt.answer = Answer()
            raise AttemptFailed(_before_content(wrong)) from wrong
    except BaseException:
        response.close()
        raise
    attempt.first_content = time.time_ns()
    attempt.reached = True
    return Live(attempt, response, relay, b"".join(held), _request_id(response), broken)


def _before_content(wrong: Exception) -> Failure:
    reason = "stream_error" if isinstance(wrong, BrokenStreamError) else "reset"
    return Failure(reason=reason, message=str(wrong) or "the stream broke off")


def _unforced(call: Call) -> str:
    """Why a call goes to a fallback although nothing failed in it."""
    return (call.state.reason or "route state") if call.state.state == "fallback" else "cooldown"


def _body(ask: Ask, attempt: Attempt) -> bytes:
    """The provider's body: the caller's bytes when nothing must change."""
    changes: Json = {}
    if attempt.target.model != ask.model:
        changes["model"] = attempt.target.model
    if ask.stream and attempt.wire == "chat" and not (ask.endpoint == "chat" and ask.wants_stream_usage):
        changes["stream_options"] = {**obj(ask.body.get("stream_options")), "include_usage": True}
    if attempt.translation is not None:
        return orjson.dumps({**attempt.translation.request(ask.body), **changes})
    return orjson.dumps({**ask.body, **changes}) if changes else ask.raw


def _wire(ask: Ask, upstream: Upstream | None) -> Wire:
    """The API to ask the upstream in: the caller's own where it speaks it, else the one it has."""
    if upstream is not None and upstream.protocol == "anthropic":
        return "messages"
    return "chat" if ask.endpoint == "messages" else ask.endpoint


def _json_object(body: bytes) -> Json:
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AttemptFailed(Failure(reason="malformed", message="the provider's answer is not a JSON object"))
    return cast(Json, parsed)


def _error_message(content: bytes) -> str:
    try:
        parsed: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content[:500].decode("utf-8", "replace")
    body = obj(parsed)
    error = obj(body.get("error")) or body
    return text(error.get("message"))[:2000]


def _request_id(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("x-request-id") or response.headers.get("request-id") or ""


def _most_telling(failures: list[Failure]) -> Failure:
    """The failure to show: one with a status before one without, the last of them."""
    with_status = [failure for failure in failures if failure.status]
    usable = [failure for failure in failures if failure.reason != "unusable"]
    return (with_status or usable or failures)[-1]
