"""The stand-in's HTTP side: a request in; refusal, fault, answer or stream out, paced as told."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from spanledger.testing.model_server import anthropic, openai_errors
from spanledger.testing.model_server.anthropic import Messages
from spanledger.testing.model_server.behaviour import Behaviour, Call
from spanledger.testing.model_server.jsons import Json
from spanledger.testing.model_server.protocol import Endpoint, Problem
from spanledger.testing.model_server.reply import Reply, plan
from spanledger.testing.model_server.state import State

FOREVER_S = 3600.0


@dataclass(slots=True)
class Exchange:
    """One request on its way."""

    request: web.Request
    endpoint: Endpoint
    state: State
    behaviour: Behaviour
    call: Call
    started: float
    queued: float = 0.0  # seconds
    first: float | None = None  # seconds to the first content

    def refuse(self, problem: Problem, headers: dict[str, str] | None = None) -> web.Response:
        """Answer with an error in the protocol's shape."""
        self.call.status, self.call.outcome = problem.status, "error"
        body = self.endpoint.error(problem, self.behaviour)
        given = {**self.headers(), **(headers or {})}
        if isinstance(self.endpoint, Messages):
            body["request_id"] = given["request-id"]
        return _json(body, problem.status, given)

    def headers(self) -> dict[str, str]:
        """What identifies a request, under both providers' names."""
        identity = f"req_{self.call.number:024d}"
        return {"request-id": identity} if isinstance(self.endpoint, Messages) else {"x-request-id": identity}


async def serve(request: web.Request, endpoint: Endpoint, state: State) -> web.StreamResponse:
    """Answer one request as the behaviour says; count it, also when the caller goes away."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    call = Call(number=0, path=request.path, headers=headers, body={}, received_ns=time.time_ns())
    exchange = Exchange(request, endpoint, state, state.behaviour, call, time.monotonic())
    raw = await request.read()
    state.admit(call)
    try:
        return _refusal(exchange, raw) or await _admitted(exchange)
    except (ConnectionResetError, asyncio.CancelledError):
        call.outcome = "disconnected" if call.outcome == "open" else call.outcome
        raise
    finally:
        state.show_load(call.model)


def _refusal(exchange: Exchange, raw: bytes) -> web.Response | None:
    """The checks every real server makes before it works: key, JSON, model, fields, length."""
    call, behaviour = exchange.call, exchange.behaviour
    problem = _key_problem(exchange) or _read(exchange, raw) or exchange.endpoint.check(call.body)
    if problem is None:
        call.prompt, call.question = exchange.endpoint.texts(call.body)
        tokens = exchange.endpoint.ask(call.body).prompt_tokens
        if tokens > behaviour.context_tokens:
            problem = openai_errors.too_long(tokens, behaviour.context_tokens)
    return exchange.refuse(problem) if problem else None


def _key_problem(exchange: Exchange) -> Problem | None:
    headers, keys = exchange.call.headers, exchange.behaviour.api_keys
    given = headers.get("authorization", "").removeprefix("Bearer ").strip()
    if isinstance(exchange.endpoint, Messages):
        if "anthropic-version" not in headers:
            return Problem(400, "anthropic-version: header is required")
        given = headers.get("x-api-key", "") or given
        return Problem(401, "invalid x-api-key") if keys and given not in keys else None
    return openai_errors.unauthorised(given) if keys and given not in keys else None


def _read(exchange: Exchange, raw: bytes) -> Problem | None:
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return Problem(400, "We could not parse the JSON body of your request.")
    call: Call = exchange.call
    call.body = body
    model: Any = call.body.get("model")
    if not isinstance(model, str) or not model:
        return Problem(400, "you must provide a model parameter", None, "model")
    call.model, call.stream = model, call.body.get("stream") is True
    served = exchange.behaviour.models
    return openai_errors.unknown_model(model, exchange.behaviour) if served and model not in served else None


async def _admitted(exchange: Exchange) -> web.StreamResponse:
    state, call, behaviour = exchange.state, exchange.call, exchange.behaviour
    state.metrics.declare(call.model)
    if state.fails(call, behaviour):
        return await _fail(exchange)
    ask = exchange.endpoint.ask(call.body)
    cached = state.prefixes.look_up(call.prompt) if behaviour.flavour == "vllm" else 0
    reply = plan(behaviour, call, ask, cached=cached, identity=uuid.uuid4().hex)
    await _queue(exchange)
    state.running[call.model] += 1
    state.kv_tokens[call.model] += reply.usage.prompt
    state.metrics.prefilled(call.model, reply.usage)
    state.show_load(call.model)
    try:
        return await (_stream(exchange, reply) if call.stream else _whole(exchange, reply))
    finally:
        state.running[call.model] -= 1
        state.kv_tokens[call.model] -= reply.usage.prompt
        _count_end(exchange, reply)


async def _queue(exchange: Exchange) -> None:
    """Wait for a place in the batch, where the behaviour limits it."""
    state, model, limit = exchange.state, exchange.call.model, exchange.behaviour.max_running
    if not limit or state.running[model] < limit:
        return
    state.waiting[model] += 1
    try:
        while state.running[model] >= limit:
            state.show_load(model)
            await asyncio.sleep(0.005)
    finally:
        state.waiting[model] -= 1
        exchange.queued = time.monotonic() - exchange.started


def _count_end(exchange: Exchange, reply: Reply) -> None:
    call, total = exchange.call, time.monotonic() - exchange.started
    first = total if exchange.first is None else exchange.first
    if call.outcome == "ok":
        finish = reply.choices[0].finish_reason
        reason, generated = ("length" if finish == "length" else "stop"), reply.usage.generated
    else:
        reason, generated = "abort", call.chunks * exchange.behaviour.chunk_tokens
    exchange.state.metrics.finished(call.model, reason, generated, (exchange.queued, first, total))


async def _fail(exchange: Exchange) -> web.StreamResponse:
    behaviour, call = exchange.behaviour, exchange.call
    await asyncio.sleep(behaviour.latency_s)
    if behaviour.fault == "reset":
        call.outcome = "reset"
        _reset(exchange.request)
        return web.Response()
    if behaviour.fault == "timeout":
        call.outcome = "timeout"
        await asyncio.sleep(FOREVER_S)
    if behaviour.fault in ("malformed", "empty"):
        call.status, call.outcome = 200, "error"
        text = '{"id": "chatcmpl-1", "choices": [{"mess' if behaviour.fault == "malformed" else ""
        return web.Response(text=text, content_type="application/json", headers=exchange.headers())
    messages = isinstance(exchange.endpoint, Messages)
    status = behaviour.error_status
    problem = anthropic.simulated(status) if messages else openai_errors.simulated(status)
    after = behaviour.retry_after_s
    return exchange.refuse(problem, None if after is None else {"retry-after": f"{after:g}"})


async def _whole(exchange: Exchange, reply: Reply) -> web.Response:
    await asyncio.sleep(exchange.behaviour.latency_s)
    answer = exchange.endpoint.whole(reply, exchange.call.body)
    exchange.call.status, exchange.call.outcome = 200, "ok"
    return _json(answer, 200, exchange.headers())


async def _stream(exchange: Exchange, reply: Reply) -> web.StreamResponse:
    behaviour, call = exchange.behaviour, exchange.call
    await asyncio.sleep(behaviour.latency_s)
    head = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    response = web.StreamResponse(headers={**head, **exchange.headers()})
    call.status = 200
    await response.prepare(exchange.request)
    for event in exchange.endpoint.events(reply, call.body):
        if event.content:
            if call.chunks == behaviour.cut_after_chunks:
                return await _cut(exchange, response)
            await asyncio.sleep(behaviour.chunk_s if call.chunks else behaviour.first_token_s)
        await response.write(event.data)
        if event.content:
            call.chunks += 1
            if exchange.first is None:
                exchange.first = time.monotonic() - exchange.started
    await asyncio.sleep(behaviour.end_s)
    await response.write_eof()
    call.outcome = "ok"
    return response


async def _cut(exchange: Exchange, response: web.StreamResponse) -> web.StreamResponse:
    """End a stream early, in one of the ways real servers and networks end it."""
    how, call = exchange.behaviour.cut, exchange.call
    if how == "stall":
        await asyncio.sleep(FOREVER_S)
    call.outcome = "cut"
    if how == "error":
        await response.write(exchange.endpoint.error_event(exchange.behaviour))
    if how == "malformed":
        await response.write(b'data: {"id": "chatcmpl-1", "choi\n\n')
    if how == "abrupt":
        _reset(exchange.request)
    else:
        await response.write_eof()
    return response


def _reset(request: web.Request) -> None:
    """Break the connection with a TCP reset instead of a goodbye."""
    transport = request.transport
    if transport is None:
        return
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _json(body: Json, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", headers=headers
    )
