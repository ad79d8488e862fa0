"""Messages in any provider's or instrumentation's shape in, OpenTelemetry's GenAI parts out; and their text.

One message is ``{"role": ..., "parts": [...]}`` and, for an answer, ``"finish_reason"``. Parts are
``text``, ``reasoning``, ``tool_call``, ``tool_call_response``, ``uri``, ``blob`` and ``file`` as in the GenAI conventions;
what none of them fits is kept whole under its own type. Nothing here raises on strange input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson

Part = dict[str, Any]
Message = dict[str, Any]

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_PLAIN_ROLES = frozenset({"system", "developer", "user", "assistant"})
_MAX_DEPTH = 6  # of wrappers around messages


def normalise(value: object, role: str = "user") -> list[Message]:
    """Messages of any known shape as a list of parts messages.

    ``role`` is given to content that names none: ``user`` for what went in, ``assistant`` for what came out.
    Known: OpenAI chat, completions and Responses (requests and answers), Anthropic, Google GenAI, the Vercel AI SDK,
    LangChain, and plain text.
    """
    return _messages(value, role, 0)


def normalise_json(text: str, role: str = "user") -> str:
    """As ``normalise``, from JSON (or plain text) to JSON; empty stays empty.

    Text that already is a list of parts messages comes back unchanged.
    """
    if not text:
        return ""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    if isinstance(value, list):
        if (plain := _plain(value)) is not None:  # pyright: ignore[reportUnknownArgumentType]
            return orjson.dumps(plain).decode()
        if _is_normal(cast(object, value)):
            return text
    elif isinstance(value, (int, float, bool)) or value is None:
        value = text
    messages = normalise(cast(object, value), role)
    return _dump(messages) if messages else ""


def _plain(values: list[Any]) -> list[Message] | None:
    """The commonest shape by far, role and text and nothing else, at a tenth of the cost; None for any other."""
    found: list[Message] = []
    value: Any
    for value in values:
        if value.__class__ is not dict or len(value) != 2:
            return None
        role, content = value.get("role"), value.get("content")
        if content.__class__ is not str or role.__class__ is not str:
            return None
        if role not in _PLAIN_ROLES or not content:
            return None
        found.append({"role": role, "parts": [{"type": "text", "content": content}]})
    return found or None


def parse(text: str) -> list[Message]:
    """The messages of an ``input`` or ``output`` column; a column that holds no messages is one text message."""
    if not text:
        return []
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [_message("", [_text(text)])]
    return cast(list[Message], value) if _is_normal(value) else normalise(value, "")


def text_of(messages: Iterable[Message], *, roles: Iterable[str] | None = None) -> str:
    """The readable text of messages, one paragraph a part; of those ``roles`` only, when given.

    Reasoning, tool calls and binary content are no text a reader or a judge was answered with: left out.
    """
    wanted = None if roles is None else set(roles)
    found: list[str] = []
    for message in messages:
        if wanted is None or message.get("role") in wanted:
            found += [
                str(part.get("content") or "") for part in _parts_of(message) if part.get("type") == "text"
            ]
    return "\n\n".join(text for text in found if text)


def question_of(messages: list[Message]) -> str:
    """The text of the last user message: what the answer answers. Empty when there is none."""
    for message in reversed(messages):
        if message.get("role") in ("user", "") and (text := text_of([message])):
            return text
    return ""


def tool_calls_of(messages: Iterable[Message]) -> list[Part]:
    """Every tool call, as ``{"id", "name", "arguments"}`` parts in order."""
    return [part for message in messages for part in _parts_of(message) if part.get("type") == "tool_call"]


def _parts_of(message: Message) -> list[Part]:
    parts = message.get("parts")
    if not isinstance(parts, list):
        return []
    return [cast(Part, part) for part in cast(list[object], parts) if isinstance(part, dict)]


def _dump(value: object) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _is_normal(value: object) -> bool:
    """Whether a value is already a list of parts messages of the convention."""
    if not isinstance(value, list) or not value:
        return False
    for item in cast(list[object], value):
        if not isinstance(item, dict) or "role" not in item:
            return False
        parts = cast(Message, item).get("parts")
        if not isinstance(parts, list):
            return False
        if not all(isinstance(part, dict) and "type" in part for part in cast(list[object], parts)):
            return False
    return True


# -- wrappers ------------------------------------------------------------------------------------------------


def _messages(value: object, role: str, depth: int) -> list[Message]:
    if value is None or value == "" or depth > _MAX_DEPTH:
        return []
    if isinstance(value, str):
        return [_message(role, [_text(value)])]
    if isinstance(value, list):
        return _list(cast(list[object], value), role, depth)
    if isinstance(value, dict):
        return _dict(cast(dict[str, Any], value), role, depth)
    return [_message(role, [_text(str(value))])]


def _list(values: list[object], role: str, depth: int) -> list[Message]:
    """A list of messages, or the parts of one message (a bare list of content blocks)."""
    if values and all(isinstance(value, dict) and _is_part(cast(Part, value)) for value in values):
        return [_message(role, _parts(values))]
    return [message for value in values for message in _messages(value, role, depth + 1)]


def _is_part(value: Part) -> bool:
    if "role" in value or "message" in value or "messages" in value:
        return False
    kind = str(value.get("type"))
    return (kind in _PART_READERS and "content" in value) or kind in _BLOCKS


_WRAPPERS = ("messages", "choices", "candidates", "output", "generations", "input", "prompt", "contents")


def _dict(value: dict[str, Any], role: str, depth: int) -> list[Message]:
    item = _ITEMS.get(str(value.get("type")))
    if item is not None:
        return item(value)
    if isinstance(value.get("message"), dict):  # a choice, or an event around a message
        return _with_finish(_messages(value["message"], role, depth + 1), value)
    if "lc" in value and isinstance(value.get("kwargs"), dict):  # LangChain's serialised form
        return _messages(_langchain(value), role, depth + 1)
    if "content" in value or "parts" in value or "tool_calls" in value:
        return [_one(value, role)]
    for key in _WRAPPERS:
        if isinstance(value.get(key), (list, str, dict)):
            lead = _system(value) if key in ("messages", "contents", "input") else []
            return lead + _messages(value[key], role, depth + 1)
    if isinstance(value.get("text"), str):
        return _with_finish([_message(_role(value, role), [_text(value["text"])])], value)
    if "model" in value:  # a request or an answer without any content
        return []
    return [_message(_role(value, role), [_text(_dump(value))])]


def _system(value: dict[str, Any]) -> list[Message]:
    system = value.get("system") or value.get("instructions") or value.get("systemInstruction")
    return _messages(system, "system", 1) if system else []


def _langchain(value: dict[str, Any]) -> dict[str, Any]:
    kwargs = cast(dict[str, Any], value["kwargs"])
    names = value.get("id")
    name = str(cast(list[object], names)[-1]) if isinstance(names, list) and names else ""
    kind = {
        "HumanMessage": "user",
        "AIMessage": "assistant",
        "SystemMessage": "system",
        "ToolMessage": "tool",
    }
    return {**kwargs, "role": kind.get(name, str(kwargs.get("type") or ""))}


def _with_finish(messages: list[Message], value: dict[str, Any]) -> list[Message]:
    reason = value.get("finish_reason") or value.get("finishReason") or value.get("stop_reason")
    if messages and isinstance(reason, str) and "finish_reason" not in messages[-1]:
        messages[-1]["finish_reason"] = reason.lower()
    return messages


def _role(value: dict[str, Any], otherwise: str) -> str:
    role = value.get("role")
    if not isinstance(role, str) or not role:
        role = (
            value.get("type")
            if value.get("type") in ("human", "ai", "system", "tool", "function")
            else otherwise
        )
    return _ROLES.get(str(role), str(role))


def _one(value: dict[str, Any], otherwise: str) -> Message:
    role = _role(value, otherwise)
    content = value.get("content") if value.get("content") is not None else value.get("parts")
    if role == "tool" and (value.get("tool_call_id") or value.get("id")):
        response: object = content if isinstance(content, str) else _content_text(content)
        parts = [_tool_response(value.get("tool_call_id") or value.get("id"), response)]
    else:
        parts = _parts(content)
    reasoning = value.get("reasoning_content") or value.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.insert(0, {"type": "reasoning", "content": reasoning})
    if isinstance(value.get("refusal"), str) and value["refusal"]:
        parts.append({"type": "text", "content": value["refusal"]})
    parts += _tool_calls(value)
    message = _message(role, parts)
    if isinstance(value.get("name"), str) and value["name"]:
        message["name"] = value["name"]
    return _with_finish([message], value)[0]


def _message(role: str, parts: list[Part]) -> Message:
    return {"role": role, "parts": parts}


def _text(content: str) -> Part:
    return {"type": "text", "content": content}


# -- parts ---------------------------------------------------------------------------------------------------


def _parts(content: object) -> list[Part]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [_text(content)]
    if isinstance(content, dict):
        return [_part(cast(Part, content))]
    if isinstance(content, list):
        return [
            _part(cast(Part, item)) if isinstance(item, dict) else _text(str(item))
            for item in cast(list[object], content)
            if item is not None
        ]
    return [_text(str(content))]


def _part(value: Part) -> Part:
    kind = str(value.get("type") or "")
    block = _BLOCKS.get(kind)
    if block is not None:
        return block(value)
    reader = _PART_READERS.get(kind)
    if reader is not None and reader(value):
        return value  # already a part of the convention
    return _google_part(value) or (value if kind else _text(_dump(value)))


_PART_READERS: dict[str, Callable[[Part], bool]] = {
    "text": lambda part: isinstance(part.get("content"), str),
    "reasoning": lambda part: isinstance(part.get("content"), str),
    "tool_call": lambda part: "name" in part,
    "tool_call_response": lambda part: "response" in part or "result" in part,
    "uri": lambda part: "uri" in part,
    "blob": lambda part: "content" in part,
    "file": lambda part: "file_id" in part,
}


def _text_block(value: Part) -> Part:
    for key in ("text", "content", "refusal"):
        if isinstance(value.get(key), str):
            return _text(value[key])
    return _text("")


def _thinking(value: Part) -> Part:
    summary = value.get("summary")
    told = value.get("thinking") or value.get("text") or value.get("content") or _content_text(summary)
    return {"type": "reasoning", "content": told if isinstance(told, str) else _content_text(told)}


def _tool_use(value: Part) -> Part:
    function = cast(Part, value.get("function")) if isinstance(value.get("function"), dict) else value
    arguments = next((function[k] for k in ("arguments", "input", "args") if k in function), None)
    name = function.get("name") or function.get("toolName")
    identity = value.get("call_id") or value.get("id") or value.get("toolCallId")
    return {"type": "tool_call", "id": identity, "name": name, "arguments": _arguments(arguments)}


def _arguments(arguments: object) -> object:
    if not isinstance(arguments, str):
        return arguments
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _tool_result(value: Part) -> Part:
    identity = value.get("tool_use_id") or value.get("call_id") or value.get("toolCallId") or value.get("id")
    answer = next((value[k] for k in ("content", "output", "result", "response") if k in value), None)
    return _tool_response(identity, answer if isinstance(answer, str) else _content_text(answer))


def _tool_response(identity: object, response: object) -> Part:
    return {"type": "tool_call_response", "id": identity, "response": response}


def _content_text(content: object) -> str:
    """Text of nested content blocks; anything that is none as JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        blocks = cast(list[object], content)
        if all(
            isinstance(block, dict) and isinstance(cast(Part, block).get("text"), str) for block in blocks
        ):
            return "\n".join(cast(Part, block)["text"] for block in blocks)
    return "" if content is None else _dump(cast(object, content))


def _media(value: Part) -> Part:
    """An image, audio clip or document, by address or by content."""
    inner = next(
        (value[k] for k in ("image_url", "input_audio", "source", "file", "image", "data") if value.get(k)),
        None,
    )
    modality = next((m for m in ("image", "audio", "video") if m in str(value.get("type"))), "document")
    if isinstance(inner, str):
        return _address(inner, modality, value.get("mediaType") or value.get("mimeType"))
    if not isinstance(inner, dict):
        return {"type": "file", "modality": modality, "file_id": value.get("file_id")}
    source = cast(Part, inner)
    mime = source.get("media_type") or source.get("format")
    if source.get("file_id"):
        return {"type": "file", "modality": modality, "file_id": source["file_id"]}
    address = source.get("url") or source.get("data") or source.get("file_data")
    return _address(str(address or ""), modality, mime)


def _address(address: str, modality: str, mime: object) -> Part:
    if address.startswith("data:"):
        head, _, data = address[5:].partition(",")
        return {"type": "blob", "modality": modality, "mime_type": head.partition(";")[0], "content": data}
    if "://" in address[:20]:
        return {"type": "uri", "modality": modality, "mime_type": mime, "uri": address}
    return {"type": "blob", "modality": modality, "mime_type": mime, "content": address}


def _google_part(value: Part) -> Part | None:
    if isinstance(value.get("text"), str):
        return {"type": "reasoning" if value.get("thought") else "text", "content": value["text"]}
    call = value.get("functionCall") or value.get("function_call")
    if isinstance(call, dict):
        return _tool_use(cast(Part, call))
    answer = value.get("functionResponse") or value.get("function_response")
    if isinstance(answer, dict):
        return _tool_response(cast(Part, answer).get("name"), cast(Part, answer).get("response"))
    data = (
        value.get("inlineData") or value.get("inline_data") or value.get("fileData") or value.get("file_data")
    )
    if isinstance(data, dict):
        inner = cast(Part, data)
        mime = str(inner.get("mimeType") or inner.get("mime_type") or "")
        address = str(inner.get("data") or inner.get("fileUri") or inner.get("file_uri") or "")
        return _address(address, mime.partition("/")[0] or "document", mime)
    return None


def _tool_calls(value: dict[str, Any]) -> list[Part]:
    calls = value.get("tool_calls")
    if isinstance(calls, list):
        return [_tool_use(cast(Part, call)) for call in cast(list[object], calls) if isinstance(call, dict)]
    call = value.get("function_call")
    return [_tool_use(cast(Part, call))] if isinstance(call, dict) else []


_BLOCKS: dict[str, Callable[[Part], Part]] = {
    "text": _text_block,
    "input_text": _text_block,
    "output_text": _text_block,
    "refusal": _text_block,
    "thinking": _thinking,
    "reasoning": _thinking,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool-call": _tool_use,
    "function": _tool_use,
    "tool_result": _tool_result,
    "tool-result": _tool_result,
    "image_url": _media,
    "input_image": _media,
    "input_audio": _media,
    "input_file": _media,
    "image": _media,
    "document": _media,
}

# Items of OpenAI's Responses API that stand beside messages.
_ITEMS: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
    "function_call": lambda item: [_message("assistant", [_tool_use(item)])],
    "reasoning": lambda item: [_message("assistant", [part])] if (part := _thinking(item))["content"] else [],
    "function_call_output": lambda item: [_message("tool", [_tool_result(item)])],
}
