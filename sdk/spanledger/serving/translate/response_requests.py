"""An OpenAI Responses request in, a chat completions request out: the half of the way to any other API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spanledger.serving.protocols.values import Json, obj, objects, text
from spanledger.serving.translate.common import UntranslatableError

_SAME = ("model", "temperature", "top_p", "stream", "parallel_tool_calls", "user", "safety_identifier")
_STATEFUL = ("previous_response_id", "conversation", "background", "prompt")


def to_chat(body: Json) -> Json:
    """Translate the body.

    Raises:
        UntranslatableError: it leans on what OpenAI stores or runs (earlier responses, files, tools of its own).
    """
    for name in _STATEFUL:
        if body.get(name):
            raise UntranslatableError(f"{name!r} needs an upstream that stores responses")
    out: Json = {name: body[name] for name in _SAME if body.get(name) is not None}
    out["messages"] = [*_instructions(body), *_conversation(body.get("input"))]
    if body.get("max_output_tokens") is not None:
        out["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("top_logprobs"):
        out["logprobs"], out["top_logprobs"] = True, body["top_logprobs"]
    if effort := text(obj(body.get("reasoning")).get("effort")):
        out["reasoning_effort"] = effort
    _tools(body, out)
    _format(obj(obj(body.get("text")).get("format")), out)
    return out


def _instructions(body: Json) -> Iterator[Json]:
    if words := text(body.get("instructions")):
        yield {"role": "system", "content": words}


def _conversation(given: Any) -> Iterator[Json]:
    if isinstance(given, str):
        yield {"role": "user", "content": given}
        return
    for item in objects(given):
        match item.get("type", "message"):
            case "message":
                yield {"role": text(item.get("role")) or "user", "content": _content(item.get("content"))}
            case "function_call":
                function = {"name": text(item.get("name")), "arguments": text(item.get("arguments"))}
                call = {"id": text(item.get("call_id")), "type": "function", "function": function}
                yield {"role": "assistant", "content": None, "tool_calls": [call]}
            case "function_call_output":
                told = _content(item.get("output"))
                yield {"role": "tool", "tool_call_id": text(item.get("call_id")), "content": told}
            case "reasoning":
                continue  # only the model that thought it may read it
            case other:
                raise UntranslatableError(f"chat completions have no form for an item of type {other!r}")


def _content(content: Any) -> str | list[Json]:
    return content if isinstance(content, str) else [_part(part) for part in objects(content)]


def _part(part: Json) -> Json:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": text(part.get("text"))}
        case "refusal":
            return {"type": "refusal", "refusal": text(part.get("refusal"))}
        case "input_image" if url := text(part.get("image_url")):
            image: Json = {"url": url}
            if detail := text(part.get("detail")):
                image["detail"] = detail
            return {"type": "image_url", "image_url": image}
        case "input_file" if data := text(part.get("file_data")) or text(part.get("file_url")):
            return {"type": "file", "file": {"filename": text(part.get("filename")), "file_data": data}}
        case other:
            raise UntranslatableError(
                f"content of type {other!r} is stored at OpenAI, or has no form elsewhere"
            )


def _tools(body: Json, out: Json) -> None:
    tools: list[Json] = []
    for tool in objects(body.get("tools")):
        if tool.get("type") != "function":
            raise UntranslatableError(f"the tool {tool.get('type')!r} runs at OpenAI only")
        function = {
            name: tool[name]
            for name in ("name", "description", "parameters", "strict")
            if tool.get(name) is not None
        }
        tools.append({"type": "function", "function": function})
    if tools:
        out["tools"] = tools
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        out["tool_choice"] = choice
    elif choice is not None:
        chosen = obj(choice)
        if chosen.get("type") != "function":
            raise UntranslatableError(f"a tool choice of type {chosen.get('type')!r} has no form elsewhere")
        out["tool_choice"] = {"type": "function", "function": {"name": text(chosen.get("name"))}}


def _format(wanted: Json, out: Json) -> None:
    if wanted.get("type") == "json_schema":
        named = {name: wanted[name] for name in ("name", "schema", "strict") if wanted.get(name) is not None}
        out["response_format"] = {"type": "json_schema", "json_schema": named}
    elif wanted.get("type") == "json_object":
        out["response_format"] = {"type": "json_object"}
