"""Anthropic's messages API: a request body in, a message or its named events out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.jsons import Json, as_list, as_object, is_count, is_number, objects
from spanledger.testing.model_server.protocol import Event, Problem, sse
from spanledger.testing.model_server.reply import Ask, Choice, Reply, Usage
from spanledger.testing.model_server.tokens import count, message_text, message_tokens, pieces

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class Messages:
    """``POST /v1/messages``."""

    def check(self, body: Json) -> Problem | None:
        """The first fault of the body, in Anthropic's ``field: reason`` words."""
        messages = body.get("messages")
        if messages is None:
            return Problem(400, "messages: Field required")
        if not as_list(messages):
            return Problem(400, "messages: at least one message is required")
        if "max_tokens" not in body:
            return Problem(400, "max_tokens: Field required")
        if not is_count(body["max_tokens"]):
            return Problem(400, "max_tokens: must be greater than or equal to 1")
        temperature = body.get("temperature")
        if temperature is not None and not (is_number(temperature) and 0 <= temperature <= 1):
            return Problem(400, "temperature: range: 0..1")
        return next((p for i, m in enumerate(as_list(messages)) if (p := _check_message(i, m))), None)

    def texts(self, body: Json) -> tuple[str, str]:
        """The prompt's text, and the last user message."""
        messages = _messages(body)
        asked = [message_text(m.get("content")) for m in messages if m.get("role") == "user"]
        return "\n".join(message_text(m.get("content")) for m in messages), asked[-1] if asked else ""

    def ask(self, body: Json) -> Ask:
        """What the body asks for."""
        tools = [tool for tool in objects(body.get("tools")) if "input_schema" in tool]
        choice = as_object(body.get("tool_choice"))
        forced = choice.get("name")
        if choice.get("type") == "any" and tools:
            forced = tools[0]["name"]
        return Ask(
            prompt_tokens=message_tokens(_messages(body)),
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences") or ()),
            tools={tool["name"]: tool["input_schema"] for tool in tools},
            forced_tool=forced,
        )

    def whole(self, reply: Reply, body: Json) -> Json:
        """One ``message``."""
        choice = reply.choices[0]
        message = {**_head(reply), "content": _blocks(reply, choice)}
        message["stop_reason"] = _STOP.get(choice.finish_reason, choice.finish_reason)
        if reply.behaviour.usage:
            message["usage"] = usage(reply.usage)
        return message

    def events(self, reply: Reply, body: Json) -> Iterator[Event]:
        """``message_start`` to ``message_stop``; usage stands in the first and in the last but one."""
        told = reply.behaviour.usage and reply.behaviour.stream_usage
        head: Json = {**_head(reply), "content": []}
        if told:
            head["usage"] = {**usage(reply.usage), "output_tokens": 1}
        yield _event("message_start", {"message": head})
        yield _event("ping", {})
        for index, block in enumerate(_blocks(reply, reply.choices[0])):
            yield from _block_events(index, block, reply.choices[0])
        stop = _STOP.get(reply.choices[0].finish_reason, reply.choices[0].finish_reason)
        delta: Json = {"delta": {"stop_reason": stop, "stop_sequence": None}}
        if told:
            delta["usage"] = {"output_tokens": reply.usage.generated}
        yield _event("message_delta", delta)
        yield _event("message_stop", {})

    def error(self, problem: Problem, behaviour: Behaviour) -> Json:
        """Anthropic's error body."""
        kind = _TYPES.get(problem.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": problem.message}}

    def error_event(self, behaviour: Behaviour) -> bytes:
        """An error in the middle of a stream: an event named ``error``."""
        return sse(self.error(Problem(529, "Overloaded"), behaviour), "error")


def simulated(status: int) -> Problem:
    """The problem Anthropic reports when it fails with this status by itself."""
    said = {
        529: "Overloaded",
        500: "Internal server error",
        429: "Number of requests has exceeded your limit",
    }
    return Problem(status, said.get(status, f"The server answered {status}."))


def usage(used: Usage) -> Json:
    """Anthropic's usage: the buckets are disjoint already, and output includes thinking."""
    written = {
        "ephemeral_5m_input_tokens": used.cache_write,
        "ephemeral_1h_input_tokens": used.cache_write_1h,
    }
    return {
        "input_tokens": used.uncached,
        "cache_creation_input_tokens": used.cache_write + used.cache_write_1h,
        "cache_read_input_tokens": used.cache_read,
        "cache_creation": written,
        "output_tokens": used.generated,
        "service_tier": "standard",
    }


def _head(reply: Reply) -> Json:
    head: Json = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model}
    return {**head, "stop_reason": None, "stop_sequence": None}


def _messages(body: Json) -> list[Json]:
    system = body.get("system")
    messages: list[Json] = body["messages"]
    return [{"role": "system", "content": system}, *messages] if system else messages


def _check_message(index: int, message: Any) -> Problem | None:
    if not isinstance(message, dict):
        return Problem(400, f"messages.{index}: Input should be an object")
    known = as_object(cast("object", message))
    if known.get("role") not in ("user", "assistant"):
        return Problem(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
    if not known.get("content"):
        return Problem(400, f"messages.{index}.content: text content must be non-empty")
    return None


def _blocks(reply: Reply, choice: Choice) -> list[Json]:
    blocks: list[Json] = []
    if choice.reasoning:
        blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": "c3RhbmRpbg=="})
    if choice.text or not choice.tool_calls:
        blocks.append({"type": "text", "text": choice.text})
    for index, call in enumerate(choice.tool_calls):
        block: Json = {"type": "tool_use", "id": f"toolu_{reply.id[:20]}{index}", "name": call.name}
        blocks.append({**block, "input": dict(call.arguments)})
    return blocks


def _block_events(index: int, block: Json, choice: Choice) -> Iterator[Event]:
    empty: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    kind = block["type"]
    at: Json = {"index": index}
    yield _event("content_block_start", {**at, "content_block": {**block, **empty[kind]}})
    deltas: list[Json]
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in choice.chunks]
    elif kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        written = pieces(json.dumps(block["input"]))
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in written]
    for delta in deltas:
        yield _event("content_block_delta", {**at, "delta": delta}, content=True)
    yield _event("content_block_stop", at)


def _event(kind: str, fields: Json, content: bool = False) -> Event:
    return Event(sse({"type": kind, **fields}, kind), content)


def token_count(body: Json) -> int:
    """What ``POST /v1/messages/count_tokens`` answers: the prompt with its tools."""
    tools = sum(count(json.dumps(tool)) for tool in objects(body.get("tools")))
    return message_tokens(_messages(body)) + tools
