"""The stand-in's routes: the providers' paths, ``/metrics``, and ``/control`` to change it at run time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from spanledger.testing.model_server import anthropic, openai_errors
from spanledger.testing.model_server.anthropic import Messages
from spanledger.testing.model_server.behaviour import call_as_json
from spanledger.testing.model_server.chat import ChatCompletions
from spanledger.testing.model_server.embeddings import Embeddings
from spanledger.testing.model_server.handlers import serve
from spanledger.testing.model_server.protocol import Endpoint, Problem
from spanledger.testing.model_server.responses import Responses
from spanledger.testing.model_server.state import State

STATE = web.AppKey("state", State)
MAX_BODY = 64 * 1024 * 1024
DEFAULT_MODEL = "stand-in"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(state: State) -> web.Application:
    """The aiohttp application over one state."""
    app = web.Application(client_max_size=MAX_BODY)
    app[STATE] = state
    endpoints: dict[str, Endpoint] = {
        "/v1/chat/completions": ChatCompletions(),
        "/v1/responses": Responses(),
        "/v1/embeddings": Embeddings(),
        "/v1/messages": Messages(),
    }
    for path, endpoint in endpoints.items():
        app.router.add_post(path, _served(endpoint))
    app.router.add_post("/v1/messages/count_tokens", _count_tokens)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/v1/models/{model:.+}", _model)
    app.router.add_get("/metrics", _metrics)
    for alive in ("/health", "/healthz", "/ping"):
        app.router.add_get(alive, _alive)
    app.router.add_get("/control", _control)
    app.router.add_put("/control", _change)
    app.router.add_delete("/control", _reset)
    app.router.add_get("/control/calls", _calls)
    app.router.add_route("*", "/{path:.*}", _unknown)
    return app


def _served(endpoint: Endpoint) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve(request, endpoint, request.app[STATE])

    return handle


def _shown(state: State, model: str) -> dict[str, Any]:
    owner = "vllm" if state.behaviour.flavour == "vllm" else "system"
    shown: dict[str, Any] = {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": owner}
    limit = {"max_model_len": state.behaviour.context_tokens} if owner == "vllm" else {}
    return shown | limit


async def _models(request: web.Request) -> web.Response:
    state = request.app[STATE]
    names = state.behaviour.models or (DEFAULT_MODEL,)
    return _json({"object": "list", "data": [_shown(state, name) for name in names]})


async def _model(request: web.Request) -> web.Response:
    state, name = request.app[STATE], request.match_info["model"]
    if state.behaviour.models and name not in state.behaviour.models:
        problem = openai_errors.unknown_model(name, state.behaviour)
        return _json(openai_errors.error(problem, state.behaviour), 404)
    return _json(_shown(state, name))


async def _count_tokens(request: web.Request) -> web.Response:
    body: Any = orjson.loads(await request.read())
    return _json({"input_tokens": anthropic.token_count(body)})


async def _metrics(request: web.Request) -> web.Response:
    state = request.app[STATE]
    text = state.metrics.render()
    return web.Response(body=text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})


async def _alive(request: web.Request) -> web.Response:
    return web.Response()


async def _control(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return _json({"behaviour": state.behaviour.as_json(), "counts": state.counts()})


async def _change(request: web.Request) -> web.Response:
    try:
        changes: Any = orjson.loads(await request.read())
        request.app[STATE].change(dict(changes))
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)
    return await _control(request)


async def _reset(request: web.Request) -> web.Response:
    request.app[STATE].reset()
    return await _control(request)


async def _calls(request: web.Request) -> web.Response:
    return _json({"calls": [call_as_json(call) for call in list(request.app[STATE].calls)]})


async def _unknown(request: web.Request) -> web.Response:
    behaviour = request.app[STATE].behaviour
    if behaviour.flavour == "vllm":
        return _json({"detail": "Not Found"}, 404)
    problem = Problem(404, f"Invalid URL ({request.method} {request.path})")
    return _json(openai_errors.error(problem, behaviour), 404)


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
