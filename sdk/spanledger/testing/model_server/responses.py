"""OpenAI's responses API: a request body in, a response object or its named events out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spanledger.testing.model_server import openai_errors as errors
from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.jsons import Json, as_object, is_count, json_type, objects
from spanledger.testing.model_server.protocol import Event, Problem, sse
from spanledger.testing.model_server.reply import Ask, Choice, Reply, Usage
from spanledger.testing.model_server.tokens import message_text, message_tokens, pieces


class Responses:
    """``POST /v1/responses``."""

    def check(self, body: Json) -> Problem | None:
        """The first fault of the body."""
        if "input" not in body:
            return errors.missing("input")
        if not isinstance(body["input"], str | list):
            return errors.wrong_type("input", "a string or an array", json_type(body["input"]))
        limit = body.get("max_output_tokens")
        if limit is not None and not is_count(limit):
            return errors.wrong_value("max_output_tokens", f"{limit!r} is not an integer of at least 1.")
        return None

    def texts(self, body: Json) -> tuple[str, str]:
        """The prompt's text, and the last user message."""
        messages = _messages(body)
        asked = [message_text(m.get("content")) for m in messages if m.get("role") == "user"]
        return "\n".join(message_text(m.get("content")) for m in messages), asked[-1] if asked else ""

    def ask(self, body: Json) -> Ask:
        """What the body asks for."""
        tools = [tool for tool in objects(body.get("tools")) if tool.get("type") == "function"]
        forced = as_object(body.get("tool_choice")).get("name")
        if body.get("tool_choice") == "required" and tools:
            forced = tools[0]["name"]
        wanted = as_object(as_object(body.get("text")).get("format"))
        schemas = {"json_schema": as_object(wanted.get("schema")), "json_object": {}}
        return Ask(
            prompt_tokens=message_tokens(_messages(body)),
            max_tokens=body.get("max_output_tokens"),
            tools={tool["name"]: tool.get("parameters") or {} for tool in tools},
            forced_tool=forced,
            schema=schemas.get(str(wanted.get("type"))),
        )

    def whole(self, reply: Reply, body: Json) -> Json:
        """One ``response`` object."""
        choice = reply.choices[0]
        cut = choice.finish_reason == "length"
        done = _response(reply, body, "incomplete" if cut else "completed", _items(reply, choice))
        done["incomplete_details"] = {"reason": "max_output_tokens"} if cut else None
        done["usage"] = usage(reply.usage) if reply.behaviour.usage else None
        return done

    def events(self, reply: Reply, body: Json) -> Iterator[Event]:
        """The named events, numbered; the last carries the whole response. There is no ``[DONE]``."""
        for number, (event, content) in enumerate(self._numberless(reply, body)):
            yield Event(sse({**event, "sequence_number": number}, event["type"]), content)

    def _numberless(self, reply: Reply, body: Json) -> Iterator[tuple[Json, bool]]:
        started = _response(reply, body, "in_progress", [])
        yield {"type": "response.created", "response": started}, False
        yield {"type": "response.in_progress", "response": started}, False
        for index, item in enumerate(_items(reply, reply.choices[0])):
            yield from _item_events(index, item, reply.choices[0])
        whole = self.whole(reply, body)
        if not reply.behaviour.stream_usage:
            whole["usage"] = None
        yield {"type": f"response.{whole['status']}", "response": whole}, False

    def error(self, problem: Problem, behaviour: Behaviour) -> Json:
        """OpenAI's error body."""
        return errors.error(problem, behaviour)

    def error_event(self, behaviour: Behaviour) -> bytes:
        """An error in the middle of a stream."""
        told = errors.simulated(500)
        event: Json = {"type": "error", "code": "server_error", "message": told.message, "param": None}
        return sse({**event, "sequence_number": 0}, "error")


def usage(used: Usage) -> Json:
    """The responses API's usage."""
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": {"cached_tokens": used.cache_read},
        "output_tokens": used.generated,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.prompt + used.generated,
    }


def _messages(body: Json) -> list[Json]:
    given: Any = body["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else objects(given)
    instructions = body.get("instructions")
    return [{"role": "system", "content": instructions}, *messages] if instructions else messages


def _response(reply: Reply, body: Json, status: str, output: list[Json]) -> Json:
    asked = ("instructions", "metadata", "previous_response_id", "max_output_tokens", "temperature", "top_p")
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "service_tier": "default",
        "usage": None,
        **{name: body.get(name) for name in asked},
    }


def _items(reply: Reply, choice: Choice) -> list[Json]:
    items: list[Json] = []
    if reply.usage.reasoning:
        summary = [{"type": "summary_text", "text": choice.reasoning}] if choice.reasoning else []
        items.append({"id": f"rs_{reply.id}", "type": "reasoning", "summary": summary})
    for index, call in enumerate(choice.tool_calls):
        items.append(
            {
                "id": f"fc_{reply.id}{index}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{reply.id[:20]}{index}",
                "name": call.name,
                "arguments": json.dumps(dict(call.arguments)),
            }
        )
    if choice.text or not choice.tool_calls:
        text: Json = {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": []}
        message: Json = {"id": f"msg_{reply.id}", "type": "message", "status": "completed"}
        items.append({**message, "role": "assistant", "content": [text]})
    return items


def _item_events(index: int, item: Json, choice: Choice) -> Iterator[tuple[Json, bool]]:
    where: Json = {"output_index": index}
    opening = {**item, "status": "in_progress"} if "status" in item else item
    opening |= {"content": []} if item["type"] == "message" else {}
    opening |= {"arguments": ""} if item["type"] == "function_call" else {}
    yield {"type": "response.output_item.added", **where, "item": opening}, False
    at: Json = {**where, "item_id": item["id"]}
    if item["type"] == "message":
        yield from _text_events({**at, "content_index": 0}, item["content"][0], choice)
    if item["type"] == "function_call":
        kind = "response.function_call_arguments"
        for piece in pieces(item["arguments"]):
            yield {"type": f"{kind}.delta", **at, "delta": piece}, True
        yield {"type": f"{kind}.done", **at, "name": item["name"], "arguments": item["arguments"]}, False
    yield {"type": "response.output_item.done", **where, "item": item}, False


def _text_events(at: Json, part: Json, choice: Choice) -> Iterator[tuple[Json, bool]]:
    yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}, False
    for piece in choice.chunks:
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}, True
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}, False
    yield {"type": "response.content_part.done", **at, "part": part}, False
