"""An Anthropic messages request in, a chat completions request out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from spanledger.serving.protocols.values import Json, obj, objects, text
from spanledger.serving.translate.common import UntranslatableError

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}


def to_chat(body: Json) -> Json:
    """Translate the body.

    Raises:
        UntranslatableError: it holds a block or a tool of Anthropic's own that chat has no form for.
    """
    for name in ("mcp_servers", "container"):
        if body.get(name):
            raise UntranslatableError(f"{name!r} runs at Anthropic only")
    out: Json = {"model": body.get("model"), "messages": list(_conversation(body))}
    # The newer name is the one that OpenAI's reasoning models take; vLLM takes both.
    out["max_completion_tokens"] = body.get("max_tokens")
    for name in ("temperature", "top_p", "stream"):
        if body.get(name) is not None:
            out[name] = body[name]
    if body.get("stop_sequences"):
        out["stop"] = body["stop_sequences"]
    if user := text(obj(body.get("metadata")).get("user_id")):
        out["user"] = user
    _tools(body, out)
    config = obj(body.get("output_config"))
    if schema := obj(obj(config.get("format")).get("schema")):
        named = {"name": "answer", "schema": schema, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": named}
    if effort := _EFFORTS.get(text(config.get("effort"))):
        out["reasoning_effort"] = effort
    return out


def _conversation(body: Json) -> Iterator[Json]:
    if system := _plain(body.get("system")):
        yield {"role": "system", "content": system}
    for message in objects(body.get("messages")):
        if message.get("role") == "assistant":
            yield _assistant(message)
        else:
            yield from _user(message)


def _assistant(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    words: list[str] = []
    calls: list[Json] = []
    for block in objects(content):
        match block.get("type"):
            case "text":
                words.append(text(block.get("text")))
            case "tool_use":
                arguments = orjson.dumps(block.get("input") or {}).decode()
                function = {"name": text(block.get("name")), "arguments": arguments}
                calls.append({"id": text(block.get("id")), "type": "function", "function": function})
            case "thinking" | "redacted_thinking":
                continue  # only the model that thought it may read it
            case other:
                raise UntranslatableError(f"chat completions have no form for a block of type {other!r}")
    out: Json = {"role": "assistant", "content": "".join(words) or None}
    if calls:
        out["tool_calls"] = calls
    return out


def _user(message: Json) -> Iterator[Json]:
    content = message.get("content")
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts: list[Json] = []
    for block in objects(content):
        if block.get("type") == "tool_result":
            # Tool messages answer the assistant's turn, so they come before what the user adds.
            result, media = _tool_result(block)
            yield result
            parts += media
        else:
            parts.append(_part(block))
    if parts:
        only_text = len(parts) == 1 and parts[0]["type"] == "text"
        yield {"role": "user", "content": parts[0]["text"] if only_text else parts}


def _tool_result(block: Json) -> tuple[Json, list[Json]]:
    content = block.get("content")
    words, media = content if isinstance(content, str) else "", list[Json]()
    for part in objects(content):
        if part.get("type") == "text":
            words += text(part.get("text"))
        else:
            media.append(_part(part))
    if block.get("is_error"):
        words = f"Error: {words}"
    return {"role": "tool", "tool_call_id": text(block.get("tool_use_id")), "content": words}, media


def _part(block: Json) -> Json:
    match block.get("type"):
        case "text":
            return {"type": "text", "text": text(block.get("text"))}
        case "image":
            return {"type": "image_url", "image_url": {"url": _url(obj(block.get("source")))}}
        case "document":
            source = obj(block.get("source"))
            if source.get("type") == "text":
                return {"type": "text", "text": text(source.get("data"))}
            name = text(block.get("title")) or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": _url(source)}}
        case other:
            raise UntranslatableError(f"chat completions have no form for a block of type {other!r}")


def _url(source: Json) -> str:
    if source.get("type") == "base64":
        return f"data:{text(source.get('media_type'))};base64,{text(source.get('data'))}"
    if source.get("type") == "url":
        return text(source.get("url"))
    raise UntranslatableError(f"chat completions cannot take a source of type {source.get('type')!r}")


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(text(part.get("text")) for part in objects(content))


def _tools(body: Json, out: Json) -> None:
    tools: list[Json] = []
    for tool in objects(body.get("tools")):
        if tool.get("type", "custom") != "custom":
            raise UntranslatableError(f"the tool {tool.get('type')!r} runs at Anthropic only")
        function: Json = {"name": text(tool.get("name")), "parameters": obj(tool.get("input_schema"))}
        if description := text(tool.get("description")):
            function["description"] = description
        tools.append({"type": "function", "function": function})
    if not tools:
        return
    out["tools"] = tools
    choice = obj(body.get("tool_choice"))
    match choice.get("type"):
        case "auto" | "none":
            out["tool_choice"] = choice["type"]
        case "any":
            out["tool_choice"] = "required"
        case "tool":
            out["tool_choice"] = {"type": "function", "function": {"name": text(choice.get("name"))}}
        case _:
            pass
    if choice.get("disable_parallel_tool_use") is True:
        out["parallel_tool_calls"] = False
