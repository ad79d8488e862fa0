"""Google's GenAI client: a client in, the same client recording its model calls out.

Every method of ``client.models`` and ``client.aio.models`` ends in one of four functions of the client's API
client; the hooks stand there. The client itself is changed: a copy would close the shared connections when the
first of the two goes away.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, cast

import orjson

from spanledger import runtime, semconv, snapshot
from spanledger.serving.answers import Answer, Choice, EventKind
from spanledger.serving.protocols.values import Json, obj, objects, text
from spanledger.serving.usage import merged, normalise
from spanledger.tracing.current import enter, leave
from spanledger.wrappers.model_call import Endpoint, ModelCall

logger = logging.getLogger("spanledger")
_MARK: Final = "_spanledger_wrapped"
_GENERATE: Final = ("generateContent", "streamGenerateContent")
_EMBED: Final = ("embedContent", "batchEmbedContents")


def read_body(body: Json) -> Answer:
    """The answer in a ``GenerateContentResponse`` or an embedding's response."""
    answer = Answer()
    read_event(answer, body)
    answer.ended = True
    return answer


def read_event(answer: Answer, event: Json) -> EventKind:
    """Add one chunk to the answer and say what it was; a whole response is one chunk."""
    answer.id = text(event.get("responseId")) or answer.id
    answer.model = text(event.get("modelVersion")) or answer.model
    answer.usage = merged(answer.usage, normalise(obj(event.get("usageMetadata"))))
    if error := obj(event.get("error")):
        answer.error = error
        return "error"
    if blocked := text(obj(event.get("promptFeedback")).get("blockReason")):
        answer.choice().finish_reason = blocked
    kind: EventKind = "other"
    for place, candidate in enumerate(objects(event.get("candidates"))):
        index = candidate.get("index")
        choice = answer.choice(index if isinstance(index, int) else place)
        for part in objects(obj(candidate.get("content")).get("parts")):
            _part(choice, part)
            kind = "content"
        choice.finish_reason = text(candidate.get("finishReason")) or choice.finish_reason
    return kind


def _part(choice: Choice, part: Json) -> None:
    if "functionCall" in part:
        function = obj(part["functionCall"])
        call = choice.tool(len(choice.tool_calls))
        call.id, call.name = text(function.get("id")), text(function.get("name"))
        call.arguments.append(orjson.dumps(function.get("args") or {}).decode())
    elif "text" in part:
        (choice.reasoning if part.get("thought") else choice.text).append(text(part["text"]))
    else:
        choice.other = True


def endpoint_of(path: str) -> Endpoint | None:
    """What kind of call a path such as ``models/gemini-2.5-flash:generateContent`` is."""
    method = path.partition("?")[0].rpartition(":")[2]
    if method in _GENERATE:
        return "generate_content", read_body, read_event
    return ("embeddings", read_body, read_event) if method in _EMBED else None


def _facts(client: Any, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    config = obj(body.get("generationConfig"))
    model = path.partition("?")[0].rpartition(":")[0].rpartition("/")[2]
    return {
        semconv.PROVIDER: "gcp.vertex_ai" if getattr(client, "vertexai", False) else "gcp.gemini",
        semconv.REQUEST_MODEL: model,
        semconv.TEMPERATURE: config.get("temperature"),
        semconv.TOP_P: config.get("topP"),
        semconv.SEED: config.get("seed"),
        semconv.MAX_TOKENS: config.get("maxOutputTokens"),
        semconv.STREAM: True if "streamGenerateContent" in path else None,
    }


def _content(operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if operation == "embeddings":
        return {semconv.INPUT: snapshot.dumps(body.get("requests") or body.get("content"))}
    system, tools = body.get("systemInstruction"), body.get("tools")
    return {
        semconv.INPUT_MESSAGES: snapshot.dumps([_message(item) for item in objects(body.get("contents"))]),
        semconv.SYSTEM_INSTRUCTIONS: snapshot.dumps(_message(obj(system))["parts"]) if system else None,
        "gen_ai.tool.definitions": snapshot.dumps(tools) if tools else None,
    }


def _message(content: Json) -> Json:
    """Google's content in OpenTelemetry's message shape."""
    parts: list[Json] = []
    for part in objects(content.get("parts")):
        if "text" in part:
            parts.append({"type": "text", "content": part["text"]})
        elif "functionCall" in part:
            function = obj(part["functionCall"])
            parts.append(
                {"type": "tool_call", "name": function.get("name"), "arguments": function.get("args")}
            )
        elif "functionResponse" in part:
            function = obj(part["functionResponse"])
            answer = {"type": "tool_call_response", "name": function.get("name")}
            parts.append({**answer, "response": function.get("response")})
        else:
            kind = next(iter(part), "unknown")
            parts.append({"type": kind, "mime_type": obj(part.get(kind)).get("mimeType")})
    role = text(content.get("role")) or "user"
    return {"role": "assistant" if role == "model" else role, "parts": parts}


def wrapped(client: Any) -> Any:
    """Set the hooks on this client."""
    api = client._api_client
    if not getattr(api, _MARK, False):
        setattr(api, _MARK, True)
        api.request, api.request_streamed = _request(api), _request_streamed(api)
        api.async_request, api.async_request_streamed = _async_request(api), _async_request_streamed(api)
    return client


def _begin(api: Any, path: str, body: Any) -> ModelCall | None:
    try:
        endpoint, rt = endpoint_of(path), runtime.current()
        if endpoint is None or not rt.enabled:
            return None
        asked = cast(Mapping[str, Any], body if isinstance(body, Mapping) else {})
        return ModelCall(rt, endpoint, _facts(api, path, asked), lambda: _content(endpoint[0], asked))
    except Exception:  # the SDK's public face: the client works on untraced
        logger.debug("a call is not recorded", exc_info=True)
        return None


def _whole(call: ModelCall, response: Any) -> Any:
    body = response.body
    call.body(body.encode() if isinstance(body, str) else body or b"{}")
    return response


def _chunk(call: ModelCall, response: Any) -> None:
    try:
        call.event(orjson.loads(response.body))
    except Exception:  # the SDK's public face: what cannot be read is passed on all the same
        logger.debug("a part of a response was not understood", exc_info=True)


def _request(api: Any) -> Any:
    original = api.request

    @functools.wraps(original)
    def request(method: str, path: str, body: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(api, path, body)
        if call is None:
            return original(method, path, body, *args, **kwargs)
        token = enter(call.span)
        try:
            response = original(method, path, body, *args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        finally:
            leave(token)
        return _whole(call, response)

    return request


def _async_request(api: Any) -> Any:
    original = api.async_request

    @functools.wraps(original)
    async def request(method: str, path: str, body: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(api, path, body)
        if call is None:
            return await original(method, path, body, *args, **kwargs)
        token = enter(call.span)
        try:
            response = await original(method, path, body, *args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        finally:
            leave(token)
        return _whole(call, response)

    return request


def _request_streamed(api: Any) -> Any:
    original = api.request_streamed

    @functools.wraps(original)
    def request(method: str, path: str, body: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        call = _begin(api, path, body)
        stream = original(method, path, body, *args, **kwargs)
        if call is None:
            yield from stream
            return
        try:
            for response in stream:
                _chunk(call, response)
                yield response
        except GeneratorExit:
            call.finish(closed_early=True)
            raise
        except BaseException as error:
            call.finish(error)
            raise
        call.finish()

    return request


def _async_request_streamed(api: Any) -> Any:
    original = api.async_request_streamed

    @functools.wraps(original)
    async def request(method: str, path: str, body: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(api, path, body)
        try:
            stream = await original(method, path, body, *args, **kwargs)
        except BaseException as error:
            if call is not None:
                call.finish(error)
            raise
        return stream if call is None else _watched(call, stream)

    return request


async def _watched(call: ModelCall, stream: Any) -> AsyncIterator[Any]:
    try:
        async for response in stream:
            _chunk(call, response)
            yield response
    except GeneratorExit:
        call.finish(closed_early=True)
        raise
    except BaseException as error:
        call.finish(error)
        raise
    call.finish()
