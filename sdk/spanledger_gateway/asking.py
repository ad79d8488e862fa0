"""One attempt in, its answer (whole, or a stream whose content has begun) or its failure out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

import orjson

from spanledger import propagation
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Wire
from spanledger.serving.failures import Failure, of_status
from spanledger.serving.protocols import chat
from spanledger.serving.protocols.values import Json, obj, text
from spanledger.serving.relay import READ_BODY, BrokenStreamError, Relay
from spanledger.serving.snapshot import Upstream
from spanledger.serving.translate import UntranslatableError, left_out, translation

from . import metrics
from .calls import Attempt, Call
from .http.response import Response
from .upstreams import AttemptFailed, Upstreams
from .within import Within

_LARGEST_ERROR = 1 << 18
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
    response: Response
    relay: Relay
    held: bytes
    request_id: str
    broken: BrokenStreamError | None = None


def prepare(call: Call, attempt: Attempt) -> bytes:
    """The body to send, in the provider's API.

    Raises:
        AttemptFailed: the upstream does not exist, or its API cannot say what the call asks.
    """
    if not attempt.upstream.base_url:
        message = f"the route names an upstream {attempt.target.upstream!r}, which does not exist"
        raise AttemptFailed(Failure(reason="unusable", message=message))
    try:
        attempt.translation = translation(call.endpoint, attempt.wire)
        body = _body(call.ask, attempt)
    except UntranslatableError as wrong:
        raise AttemptFailed(Failure(reason="unusable", message=str(wrong))) from wrong
    if attempt.translation is not None:
        for name in left_out(call.endpoint, call.ask.body):
            metrics.count(metrics.LEFT_OUT, call.endpoint, name)
    return body


async def ask(
    upstreams: Upstreams, call: Call, attempt: Attempt, body: bytes, limit_s: float
) -> Whole | Live:
    """Send the body and wait for the answer, or for its first content, at most ``limit_s`` seconds.

    Raises:
        AttemptFailed: there is no answer to pass on.
    """
    try:
        with Within(limit_s):
            response = await _open(upstreams, call, attempt, body)
            if call.ask.stream:
                return await _start_stream(call, attempt, response)
            return await _read_whole(attempt, response)
    except TimeoutError:
        raise AttemptFailed(Failure(reason="timeout", message=f"no answer within {limit_s:g} s")) from None


def wire_of(ask: Ask, upstream: Upstream | None) -> Wire:
    """The API to ask the upstream in: the caller's own where it speaks it, else the one it has."""
    if upstream is not None and upstream.protocol == "anthropic":
        return "messages"
    return "chat" if ask.endpoint == "messages" else ask.endpoint


async def _open(upstreams: Upstreams, call: Call, attempt: Attempt, body: bytes) -> Response:
    # Engines continue the trace; vendors have no use for our ids.
    traceparent = (
        propagation.format(call.trace_id, attempt.span_id, sampled=call.sampled)
        if attempt.upstream.protocol == "vllm"
        else ""
    )
    response = await upstreams.post(attempt.upstream, attempt.wire, body, call.headers, traceparent)
    if response.status == 200:
        return response
    try:
        content = await response.read(_LARGEST_ERROR)
    except OSError:
        content = b""
    finally:
        response.release()
    retry_after = response.header(b"retry-after")
    if response.status < 400:
        message = f"the provider answered with status {response.status}"
        raise AttemptFailed(Failure(reason="malformed", status=response.status, message=message))
    raise AttemptFailed(of_status(response.status, content, retry_after, _error_message(content)))


async def _read_whole(attempt: Attempt, response: Response) -> Whole:
    try:
        body = await response.read()
    except OSError as wrong:
        raise AttemptFailed(Failure(reason="reset", message=f"the answer broke off: {wrong}")) from wrong
    finally:
        response.release()
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


async def _start_stream(call: Call, attempt: Attempt, response: Response) -> Live:
    """Read up to the first content event, so that whatever goes wrong before it can still fall back."""
    strip = attempt.wire == "chat" and not call.ask.wants_stream_usage
    wants_usage = call.ask.wants_stream_usage
    translator = attempt.translation.stream(wants_usage) if attempt.translation else None
    running = _asks_for_running_usage(call.ask, attempt)
    relay = Relay(attempt.wire, strip_usage=strip, strip_running_usage=running, translator=translator)
    attempt.answer = relay.answer
    held: list[bytes] = []
    size = 0
    broken: BrokenStreamError | None = None
    try:
        while not relay.started:
            data = await response.readany()
            piece = relay.feed(data) if data else relay.close()
            held.append(piece)
            size += len(piece)
            if not data or size > _LARGEST_HELD:
                break
    except (BrokenStreamError, OSError) as wrong:
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


def _body(ask: Ask, attempt: Attempt) -> bytes:
    """The provider's body: the caller's bytes when nothing must change."""
    changes: Json = {}
    if attempt.target.model != ask.model:
        changes["model"] = attempt.target.model
    if ask.stream and attempt.wire == "chat":
        wanted: Json = {"include_usage": True}
        if _asks_for_running_usage(ask, attempt):
            wanted["continuous_usage_stats"] = True
        given = obj(ask.body.get("stream_options")) if ask.endpoint == "chat" else {}
        if not wanted.items() <= given.items():
            changes["stream_options"] = {**given, **wanted}
    if attempt.translation is not None:
        return orjson.dumps({**attempt.translation.request(ask.body), **changes})
    return orjson.dumps({**ask.body, **changes}) if changes else ask.raw


def _asks_for_running_usage(ask: Ask, attempt: Attempt) -> bool:
    """Whether the gateway, and not the caller, asks for the usage so far in each chunk: engines that a caller leaves, or
    that break off, have told then what they did.
    """
    if attempt.upstream.protocol != "vllm" or attempt.wire != "chat":
        return False
    return obj(ask.body.get("stream_options")).get("continuous_usage_stats") is not True


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


def _request_id(response: Response) -> str:
    return response.header(b"x-request-id") or response.header(b"request-id")
