"""OpenAI's chat completions (and vLLM's): a request body in, a completion or its chunks out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from spanledger.testing.model_server import openai_errors as errors
from spanledger.testing.model_server.behaviour import Behaviour, ToolCall
from spanledger.testing.model_server.jsons import (
    Json,
    as_list,
    as_object,
    is_count,
    is_number,
    json_type,
    objects,
)
from spanledger.testing.model_server.protocol import Event, Problem, sse
from spanledger.testing.model_server.reply import Ask, Choice, Reply, Usage
from spanledger.testing.model_server.tokens import message_text, message_tokens, pieces

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
DONE = b"data: [DONE]\n\n"


class ChatCompletions:
    """``POST /v1/chat/completions``."""

    def check(self, body: Json) -> Problem | None:
        """As OpenAI refuses: the first fault found, named by its path in the body."""
        return _check_messages(body.get("messages", ...)) or _check_numbers(body) or _check_stream(body)

    def texts(self, body: Json) -> tuple[str, str]:
        """The prompt's text, and the last user message."""
        messages: list[Json] = body["messages"]
        said = [message_text(m.get("content")) for m in messages]
        asked = [text for text, m in zip(said, messages, strict=True) if m.get("role") == "user"]
        return "\n".join(said), asked[-1] if asked else ""

    def ask(self, body: Json) -> Ask:
        """What the body asks for."""
        stop = body.get("stop") or ()
        return Ask(
            prompt_tokens=message_tokens(body["messages"]),
            n=body.get("n") or 1,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=_tools(body),
            forced_tool=_forced(body),
            schema=_schema(body.get("response_format")),
        )

    def whole(self, reply: Reply, body: Json) -> Json:
        """One ``chat.completion``."""
        choices = [_whole_choice(i, choice, reply) for i, choice in enumerate(reply.choices)]
        answer: Json = {**_head(reply, "chat.completion"), "choices": choices}
        if reply.behaviour.usage:
            answer["usage"] = usage(reply.usage, reply.behaviour)
        return answer

    def events(self, reply: Reply, body: Json) -> Iterator[Event]:
        """``chat.completion.chunk`` events and ``[DONE]``."""
        options = as_object(body.get("stream_options"))
        behaviour = reply.behaviour
        told = bool(options.get("include_usage")) and behaviour.usage and behaviour.stream_usage
        head = _head(reply, "chat.completion.chunk") | ({"usage": None} if told else {})
        for index in range(len(reply.choices)):
            yield _chunk(head, index, {"role": "assistant", "content": "", **_refusal(behaviour)})
        is_continuous = told and behaviour.flavour == "vllm" and options.get("continuous_usage_stats") is True
        yield from _counted(reply, head) if is_continuous else _interleaved(reply, head)
        for index, choice in enumerate(reply.choices):
            yield _chunk(head, index, {}, choice.finish_reason)
        if told:
            yield Event(sse({**head, "choices": [], "usage": usage(reply.usage, behaviour)}))
        yield Event(DONE)

    def error(self, problem: Problem, behaviour: Behaviour) -> Json:
        """OpenAI's error body."""
        return errors.error(problem, behaviour)

    def error_event(self, behaviour: Behaviour) -> bytes:
        """An error in the middle of a stream."""
        return errors.error_event(behaviour)


def usage(used: Usage, behaviour: Behaviour) -> Json:
    """OpenAI's usage: the prompt includes what was cached, the completion includes reasoning."""
    totals: Json = {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.generated,
        "total_tokens": used.prompt + used.generated,
    }
    if behaviour.flavour == "vllm":
        read: Json = {"cached_tokens": used.cache_read, "created_cache_tokens": used.cache_write}
        thought = {"reasoning_tokens": used.reasoning} if used.reasoning else None
        return {
            **totals,
            "prompt_tokens_details": {**read, "multimodal_tokens": None},
            "completion_tokens_details": thought,
        }
    return {
        **totals,
        "prompt_tokens_details": {"cached_tokens": used.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(reply: Reply, kind: str) -> Json:
    head: Json = {
        "id": f"chatcmpl-{reply.id}",
        "object": kind,
        "created": reply.created,
        "model": reply.model,
    }
    if reply.behaviour.flavour == "openai":
        head |= {"service_tier": "default", "system_fingerprint": "fp_standin"}
    return head


def _refusal(behaviour: Behaviour) -> Json:
    return {"refusal": None} if behaviour.flavour == "openai" else {}


def _whole_choice(index: int, choice: Choice, reply: Reply) -> Json:
    content = choice.text if choice.text or not choice.tool_calls else None
    message: Json = {"role": "assistant", "content": content, **_refusal(reply.behaviour)}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [_tool_call(i, call, reply) for i, call in enumerate(choice.tool_calls)]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}


def _tool_call(index: int, call: ToolCall, reply: Reply) -> Json:
    arguments = json.dumps(dict(call.arguments))
    identity = f"call_{reply.id[:20]}{index}"
    return {"id": identity, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _chunk(head: Json, index: int, delta: Json, finish: str | None = None, content: bool = False) -> Event:
    choice: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return Event(sse({**head, "choices": [choice]}), content)


def _interleaved(reply: Reply, head: Json) -> Iterator[Event]:
    """The choices' content in turn, as a server that decodes them together sends it."""
    deltas = [_deltas(choice, reply) for choice in reply.choices]
    for step in range(max(len(d) for d in deltas)):
        for index, said in enumerate(deltas):
            if step < len(said):
                yield _chunk(head, index, said[step], content=True)


def _counted(reply: Reply, head: Json) -> Iterator[Event]:
    """The content with the usage so far in every chunk, as vLLM sends it when ``continuous_usage_stats`` is asked for."""
    prompt = reply.usage.prompt
    for made, event in enumerate(_interleaved(reply, head), 1):
        yield event
        totals = {"completion_tokens": made + 1, "total_tokens": prompt + made + 1}
        head["usage"] = {"prompt_tokens": prompt, **totals}


def _deltas(choice: Choice, reply: Reply) -> list[Json]:
    thought: list[Json] = [{"reasoning_content": piece} for piece in pieces(choice.reasoning)]
    said: list[Json] = [{"content": piece} for piece in choice.chunks]
    return thought + said + [d for i, c in enumerate(choice.tool_calls) for d in _tool_deltas(i, c, reply)]


def _tool_deltas(index: int, call: ToolCall, reply: Reply) -> Iterator[Json]:
    whole = _tool_call(index, call, reply)
    opening: Json = {**whole, "index": index, "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [opening]}
    for piece in pieces(whole["function"]["arguments"]):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _check_messages(messages: object) -> Problem | None:
    if messages is ...:
        return errors.missing("messages")
    if not isinstance(messages, list):
        return errors.wrong_type("messages", "an array of objects", json_type(messages))
    if not messages:
        return errors.wrong_value("messages", "empty array. Expected an array with minimum length 1.")
    return next(
        (
            p
            for i, m in enumerate(as_list(cast("object", messages)))
            if (p := _check_message(f"messages[{i}]", m))
        ),
        None,
    )


def _check_message(name: str, message: object) -> Problem | None:
    if not isinstance(message, dict):
        return errors.wrong_type(name, "an object", json_type(message))
    known = as_object(cast("object", message))
    if "role" not in known:
        return errors.missing(f"{name}.role")
    if known["role"] not in ROLES:
        allowed = ", ".join(f"'{role}'" for role in ROLES)
        return errors.wrong_value(f"{name}.role", f"'{known['role']}'. Supported values are: {allowed}.")
    content = known.get("content")
    if content is None and known["role"] != "assistant":
        return errors.wrong_type(f"{name}.content", "one of a string or array of objects", "null")
    if content is not None and not isinstance(content, str | list):
        return errors.wrong_type(f"{name}.content", "a string or an array", json_type(content))
    return None


def _check_numbers(body: Json) -> Problem | None:
    bounds = {
        "temperature": (0, 2),
        "top_p": (0, 1),
        "presence_penalty": (-2, 2),
        "frequency_penalty": (-2, 2),
    }
    for name, (low, high) in bounds.items():
        value = body.get(name)
        if value is None:
            continue
        if not is_number(value):
            return errors.wrong_type(name, "a decimal", json_type(value))
        if not low <= value <= high:
            return errors.wrong_value(name, f"{value} is not between {low} and {high}.")
    for name in ("max_tokens", "max_completion_tokens", "n"):
        if body.get(name) is not None and not is_count(body[name]):
            return errors.wrong_value(name, f"{body[name]!r} is not an integer of at least 1.")
    return None


def _check_stream(body: Json) -> Problem | None:
    if body.get("stream") is not None and not isinstance(body["stream"], bool):
        return errors.wrong_type("stream", "a boolean", json_type(body["stream"]))
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return Problem(400, message, None, "stream_options")
    tools = body.get("tools")
    if body.get("tool_choice") not in (None, "none") and not tools:
        return Problem(400, "'tool_choice' is only allowed when 'tools' are specified.", None, "tool_choice")
    return None


def _tools(body: Json) -> Json:
    functions = [as_object(tool.get("function")) for tool in objects(body.get("tools"))]
    return {str(f.get("name")): as_object(f.get("parameters")) for f in functions if f}


def _forced(body: Json) -> str | None:
    if body.get("tool_choice") == "required":
        return next(iter(_tools(body)), None)
    return as_object(as_object(body.get("tool_choice")).get("function")).get("name")


def _schema(response_format: object) -> Json | None:
    asked = as_object(response_format)
    if asked.get("type") == "json_schema":
        return as_object(as_object(asked.get("json_schema")).get("schema"))
    return {} if asked.get("type") == "json_object" else None
