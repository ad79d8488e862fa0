"""Recorded content (untrusted JSON) in; messages made of plain parts out. What is not understood is kept as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

PartKind = Literal["text", "reasoning", "tool_call", "tool_result", "image", "other"]

_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAX_IMAGE = 200_000  # characters of base64; a page stays light


@dataclass(frozen=True, slots=True)
class Part:
    """``text`` is always shown as text; ``title`` names a tool; ``source`` is an inline image as a data URI."""

    kind: PartKind
    text: str
    title: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: str
    parts: tuple[Part, ...]


def messages(content: str, role: str = "") -> list[Message]:
    """Read ``input`` or ``output`` of a span: OpenTelemetry's or OpenAI's messages, else one message of text."""
    if not content:
        return []
    loaded = _loads(content)
    items = _items(loaded)
    if items and all(map(_is_message, items)):
        return [_message(cast("Mapping[str, Any]", item), role) for item in items]
    return [Message(role, (Part("text", _text(loaded)),))]


_FIRST_TEXT = re.compile(r'"(?:content|text)"\s*:\s*"((?:[^"\\]|\\.)*)')


def excerpt(start: str) -> str:
    """The first words of a message from the first letters of its JSON, which may be cut anywhere."""
    found = _FIRST_TEXT.search(start)
    if found is None:
        return start.strip('"')
    try:
        return str(json.loads(f'"{found[1]}"'))
    except ValueError:
        return found[1]


@dataclass(frozen=True, slots=True)
class Source:
    """One retrieved document, as recorded."""

    name: str
    content: str
    score: float | None
    updated_at: str
    version: str


def sources(documents: str) -> list[Source]:
    """Read ``documents`` of a span: a JSON list of retrieved sources; anything else is one source of text."""
    loaded: object = _loads(documents) if documents else []
    return [_source(item) for item in _items(loaded)]


def _source(item: object) -> Source:
    if not isinstance(item, dict):
        return Source("", _text(item), None, "", "")
    fields = cast("dict[str, Any]", item)
    score = fields.get("score")
    return Source(
        name=_text(fields.get("source") or fields.get("title") or fields.get("id") or ""),
        content=_text(fields.get("content", "")),
        score=float(score) if isinstance(score, int | float) else None,
        updated_at=_text(fields.get("updated_at") or ""),
        version=_text(fields.get("version") or ""),
    )


def _items(loaded: object) -> list[object]:
    return cast("list[object]", loaded) if isinstance(loaded, list) else [loaded]


def _loads(content: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


def _is_message(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    fields = cast("dict[str, object]", item)
    return "role" in fields or isinstance(fields.get("parts"), list)


def _message(item: Mapping[str, Any], role: str) -> Message:
    content = item.get("parts", item.get("content"))
    parts = [_part(part) for part in cast("list[object]", content)] if isinstance(content, list) else []
    if content is not None and not isinstance(content, list):
        parts.append(Part("text", _text(content)))
    calls = item.get("tool_calls")
    parts += [_part(call) for call in cast("list[object]", calls)] if isinstance(calls, list) else []
    return Message(_text(item.get("role", role)) or role, tuple(parts))


def _part(item: object) -> Part:
    if not isinstance(item, dict):
        return Part("text", _text(item))
    part = cast("dict[str, Any]", item)
    kind = str(part.get("type", "text"))
    if kind in ("tool_call", "function", "tool_use"):
        return _tool_call(part)
    if kind in ("tool_call_response", "tool_result"):
        result = next((part[name] for name in ("response", "result", "content") if name in part), "")
        return Part("tool_result", _text(result), _text(part.get("name") or part.get("id") or ""))
    if kind in ("reasoning", "thinking"):
        return Part("reasoning", _text(part.get("content", part.get("thinking", part.get("text", "")))))
    if kind in ("image_url", "image", "blob", "uri", "input_image"):
        return _image(part)
    if kind in ("text", "input_text", "output_text"):
        return Part("text", _text(part.get("content", part.get("text", ""))))
    return Part("other", _pretty(part), kind)


def _tool_call(part: Mapping[str, Any]) -> Part:
    function = part.get("function")
    inner = cast("Mapping[str, Any]", function) if isinstance(function, dict) else part
    arguments = inner.get("arguments", inner.get("input", ""))
    return Part(
        "tool_call",
        _pretty(_loads(arguments) if isinstance(arguments, str) else arguments),
        _text(inner.get("name", "")),
    )


def _image(part: Mapping[str, Any]) -> Part:
    """An image is shown only when it lies in the record itself; an address is never fetched."""
    address = part.get("image_url", part.get("uri", part.get("url", "")))
    if isinstance(address, dict):
        address = cast("dict[str, Any]", address).get("url", "")
    mime, data = part.get("mime_type", part.get("media_type")), part.get("content", part.get("data"))
    if isinstance(mime, str) and isinstance(data, str) and mime.startswith("image/"):
        address = f"data:{mime};base64,{data}"
    text = str(address)
    head, _, body = text.partition(";base64,")
    inline = (
        head.removeprefix("data:") in _IMAGE_TYPES and head.startswith("data:") and len(body) <= _MAX_IMAGE
    )
    if inline and all(letter.isalnum() or letter in "+/=" for letter in body):
        return Part("image", "image in the record", source=text)
    return Part("image", f"image, not loaded: {text[:200]}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else _pretty(value)


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
