"""A chat completions request in, an Anthropic messages request out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import orjson

from spanledger.serving.protocols.values import Json, integer, number, obj, objects, text
from spanledger.serving.translate.common import UntranslatableError

DEFAULT_MAX_TOKENS = 4096
"""Anthropic demands a limit; this one stands in where an OpenAI caller set none."""

_DATA_URL = re.compile(r"data:([\w.+/-]+);base64,(.*)", re.DOTALL)
_JSON_ONLY = "Answer with one JSON object and nothing else."
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}


def to_messages(body: Json) -> Json:
    """Translate the body.

    Raises:
        UntranslatableError: it asks for several choices, log probabilities, audio, a search, tools of a kind that Anthropic
            has not, or content that it has no block for.
    """
    _refuse(body)
    system, messages = _conversation(body)
    limit = integer(body.get("max_completion_tokens")) or integer(body.get("max_tokens"))
    out: Json = {
        "model": body.get("model"),
        "max_tokens": limit or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if body.get("stream"):
        out["stream"] = True
    if (temperature := number(body.get("temperature"))) is not None:
        out["temperature"] = min(1.0, temperature)
    if (top_p := number(body.get("top_p"))) is not None:
        out["top_p"] = top_p
    stop = body.get("stop")
    if stop:
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := text(body.get("user")) or text(body.get("safety_identifier")):
        out["metadata"] = {"user_id": user}
    _tools(body, out)
    _output(body, out, system)
    if system:
        out["system"] = "\n\n".join(system)
    return out


def _refuse(body: Json) -> None:
    """Refuse what an answer without it would not be an answer to."""
    if (integer(body.get("n")) or 1) > 1:
        raise UntranslatableError("Anthropic gives one choice only; 'n' is larger")
    for name in ("logprobs", "top_logprobs", "audio", "functions", "function_call", "web_search_options"):
        if body.get(name):
            raise UntranslatableError(f"Anthropic's messages have nothing like {name!r}")
    modalities = body.get("modalities")
    if isinstance(modalities, list) and set(cast(list[Any], modalities)) - {"text"}:
        raise UntranslatableError("Anthropic answers in text only; 'modalities' asks for more")
    for tool in objects(body.get("tools")):
        if not tool.get("function"):
            raise UntranslatableError(f"Anthropic has no tool of type {tool.get('type')!r}")


def _conversation(body: Json) -> tuple[list[str], list[Json]]:
    system: list[str] = []
    messages: list[Json] = []
    for message in objects(body.get("messages")):
        match message.get("role"):
            case "system" | "developer":
                system.append(_plain(message.get("content")))
            case "assistant":
                _append(messages, "assistant", list(_assistant(message)))
            case "tool" | "function":
                _append(messages, "user", [_tool_result(message)])
            case _:
                _append(messages, "user", list(_parts(message.get("content"))))
    return [part for part in system if part], messages


def _append(messages: list[Json], role: str, blocks: list[Json]) -> None:
    """Add blocks; neighbours of one role become one message, as tool results must share theirs."""
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _assistant(message: Json) -> Iterator[Json]:
    yield from _parts(message.get("content"))
    if refusal := text(message.get("refusal")):
        yield {"type": "text", "text": refusal}
    for call in objects(message.get("tool_calls")):
        function = obj(call.get("function"))
        yield {
            "type": "tool_use",
            "id": text(call.get("id")),
            "name": text(function.get("name")),
            "input": _arguments(text(function.get("arguments"))),
        }


def _arguments(arguments: str) -> Json:
    try:
        return obj(orjson.loads(arguments))
    except orjson.JSONDecodeError:
        return {}


def _tool_result(message: Json) -> Json:
    content = message.get("content")
    return {
        "type": "tool_result",
        "tool_use_id": text(message.get("tool_call_id")),
        "content": content if isinstance(content, str) else list(_parts(content)),
    }


def _parts(content: Any) -> Iterator[Json]:
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}
        return
    for part in objects(content):
        match part.get("type"):
            case "text":
                if words := text(part.get("text")):
                    yield {"type": "text", "text": words}
            case "refusal":
                yield {"type": "text", "text": text(part.get("refusal"))}
            case "image_url":
                yield {"type": "image", "source": _source(text(obj(part.get("image_url")).get("url")))}
            case "file":
                yield {"type": "document", "source": _source(text(obj(part.get("file")).get("file_data")))}
            case other:
                raise UntranslatableError(f"Anthropic has no content of type {other!r}")


def _source(url: str) -> Json:
    if match := _DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": match[1], "data": match[2]}
    if url.startswith(("http://", "https://")):
        return {"type": "url", "url": url}
    raise UntranslatableError("an image or file needs a data: or http(s) URL")


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(text(part.get("text")) for part in objects(content))


def _tools(body: Json, out: Json) -> None:
    tools = [_tool(obj(tool.get("function"))) for tool in objects(body.get("tools")) if tool.get("function")]
    if not tools:
        return
    out["tools"] = tools
    choice = body.get("tool_choice")
    chosen: Json | None = None
    if isinstance(choice, dict):
        chosen = {"type": "tool", "name": text(obj(obj(body.get("tool_choice")).get("function")).get("name"))}
    elif choice in ("auto", "none"):
        chosen = {"type": choice}
    elif choice == "required":
        chosen = {"type": "any"}
    if body.get("parallel_tool_calls") is False:
        chosen = chosen or {"type": "auto"}
        if chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
    if chosen:
        out["tool_choice"] = chosen


def _tool(function: Json) -> Json:
    tool: Json = {
        "name": text(function.get("name")),
        "input_schema": obj(function.get("parameters")) or {"type": "object", "properties": {}},
    }
    if description := text(function.get("description")):
        tool["description"] = description
    return tool


def _output(body: Json, out: Json, system: list[str]) -> None:
    wanted = obj(body.get("response_format"))
    config: Json = {}
    if wanted.get("type") == "json_schema":
        config["format"] = {"type": "json_schema", "schema": obj(wanted.get("json_schema")).get("schema")}
    elif wanted.get("type") == "json_object":
        system.append(_JSON_ONLY)
    if effort := _EFFORTS.get(text(body.get("reasoning_effort"))):
        config["effort"] = effort
    if config:
        out["output_config"] = config
