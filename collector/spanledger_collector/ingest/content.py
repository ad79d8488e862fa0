"""Messages, arguments, results and documents of one span, told in any of several ways, in; column text out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import orjson

from spanledger import messages

from .attributes import Value, text
from .values import parsed

Groups = dict[str, dict[str, Value]]
"""Field to what followed the group's prefix (``0.message.role``) to value."""

_OLD_EVENT_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
CHOICE_EVENT = "gen_ai.choice"
_CONTENT_EVENTS = {
    "gen_ai.content.prompt": ("gen_ai.prompt", "messages.input"),
    "gen_ai.content.completion": ("gen_ai.completion", "messages.output"),
}
DETAILS_EVENTS = frozenset(
    {
        "gen_ai.client.inference.operation.details",
        "gen_ai.client.operation.details",
        "gen_ai.client.inference",
    }
)
_DETAILS = {
    "gen_ai.input.messages": "messages.input",
    "gen_ai.output.messages": "messages.output",
    "gen_ai.system_instructions": "messages.system",
}


def take_event(name: str, attributes: dict[str, Value], facts: dict[str, Value]) -> bool:
    """Put what a content event tells into ``facts``; False when it is no content event."""
    if name in DETAILS_EVENTS:
        for attribute, field in _DETAILS.items():
            if attribute in attributes:
                facts.setdefault(field, attributes[attribute])
        return True
    if name in _CONTENT_EVENTS:
        attribute, field = _CONTENT_EVENTS[name]
        if attribute in attributes:
            facts.setdefault(field, attributes[attribute])
        return True
    if name in _OLD_EVENT_ROLES or name == CHOICE_EVENT:
        _append(name, attributes, facts)
        return True
    return False


def _append(name: str, attributes: dict[str, Value], facts: dict[str, Value]) -> None:
    field = "events.output" if name == CHOICE_EVENT else "events.input"
    message = {
        key: parsed(value) for key, value in attributes.items() if key not in ("gen_ai.system", "index")
    }
    message.setdefault("role", _OLD_EVENT_ROLES.get(name, "assistant"))
    cast(list[object], facts.setdefault(field, [])).append(message)


def rebuilt(parts: dict[str, Value]) -> list[Any]:
    """Numbered attributes (``0.message.tool_calls.1.name``) as the list they stand for."""
    root: dict[str, Any] = {}
    for path, value in parts.items():
        at = root
        *steps, last = path.split(".")
        for step in steps[:12]:
            below = at.setdefault(step, {})
            if not isinstance(below, dict):
                break
            at = cast(dict[str, Any], below)
        else:
            at[last] = value
    found = _listed(root)
    return cast(list[Any], found) if isinstance(found, list) else [found]


def _listed(value: object) -> object:
    """Objects whose keys are all numbers as lists, in order."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(below) for key, below in cast(dict[str, object], value).items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def input_text(facts: dict[str, Value], groups: Groups, *, is_model: bool) -> str:
    """The ``input`` column: messages of a model call, else the recorded arguments."""
    told = facts.get("messages.input") or facts.get("events.input")
    if told is None and "messages.input" in groups:
        told = _plain_openinference(rebuilt(groups["messages.input"]))
    if told is None and not is_model:
        return _as_json(facts.get("value.input"))
    found = _messages(told if told is not None else facts.get("value.input"), "user")
    system = facts.get("messages.system")
    if system:
        lead = messages.normalise(parsed(system), "system")
        return dump([*lead, *(messages.parse(found) if found else [])])
    return found


def output_text(facts: dict[str, Value], groups: Groups, *, is_model: bool) -> str:
    """The ``output`` column: the answer's messages of a model call, else the recorded result."""
    told = facts.get("messages.output") or facts.get("events.output")
    if told is None and "messages.output" in groups:
        told = _plain_openinference(rebuilt(groups["messages.output"]))
    if told is None and not is_model:
        return _as_json(facts.get("value.output"))
    found = _messages(told if told is not None else facts.get("value.output"), "assistant")
    calls = parsed(facts.get("tool_calls.output"))
    if isinstance(calls, list) and calls:
        told = {"role": "assistant", "tool_calls": cast(list[object], calls)}
        answer = [*messages.parse(found), *messages.normalise(told)]
        return dump(answer)
    return found


def _messages(value: Value, role: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return messages.normalise_json(value, role)
    if isinstance(value, list):
        found = messages.normalise([parsed(item) for item in value], role)
    else:
        found = messages.normalise(value, role)
    return dump(found) if found else ""


def _plain_openinference(items: list[Any]) -> list[Any]:
    """``message_content.text`` and ``tool_call.function.name`` as the objects other vocabularies nest."""
    return [_unwrapped(item) for item in items]


def _unwrapped(value: Any) -> Any:
    if isinstance(value, list):
        return [_unwrapped(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    item = cast(dict[str, Any], value)
    if set(item) == {"message"} and isinstance(item["message"], dict):
        item = cast(dict[str, Any], item["message"])
    if "contents" in item and "content" not in item:
        item["content"] = [_content_block(block) for block in cast(list[Any], item.pop("contents"))]
    calls = item.get("tool_calls")
    if isinstance(calls, list):
        item["tool_calls"] = [
            cast(dict[str, Any], call).get("tool_call", call) if isinstance(call, dict) else call
            for call in cast(list[Any], calls)
        ]
    return item


def _content_block(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    inner = cast(dict[str, Any], block).get("message_content", block)
    if isinstance(inner, dict) and isinstance(cast(dict[str, Any], inner).get("image"), dict):
        image = cast(dict[str, Any], inner)["image"]
        return {"type": "image_url", "image_url": {"url": cast(dict[str, Any], image).get("url", "")}}
    return cast(Any, inner)


# -- documents -----------------------------------------------------------------------------------------------

_DOCUMENT_KEYS = {
    "id": "id",
    "document_id": "id",
    "content": "content",
    "text": "content",
    "page_content": "content",
    "score": "score",
    "source": "source",
    "title": "source",
    "updated_at": "updated_at",
    "version": "version",
}


def documents(facts: dict[str, Value], groups: Groups, *, is_retrieval: bool) -> str:
    """The ``documents`` column: retrieved sources as a JSON list, empty for none."""
    told = facts.get("documents")
    value = rebuilt(groups["documents"]) if told is None and "documents" in groups else parsed(told)
    if value is None and is_retrieval:
        value = parsed(facts.get("value.output"))
    if isinstance(value, dict):
        value = cast(dict[str, Any], value).get("documents")
    if not isinstance(value, list):
        return ""
    found = [_document(item) for item in cast(list[Any], value)]
    return dump([item for item in found if item])


def _document(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        return {"content": item}
    if not isinstance(item, dict):
        return None
    told = cast(dict[str, Any], item)
    if isinstance(told.get("document"), dict):
        told = cast(dict[str, Any], told["document"])
    metadata = parsed(told.get("metadata"))
    if isinstance(metadata, dict):
        told = {**cast(dict[str, Any], metadata), **told}
    found: dict[str, Any] = {}
    for key, name in _DOCUMENT_KEYS.items():
        if told.get(key) is not None:
            found.setdefault(name, told[key])
    return found or None


def _as_json(value: Value) -> str:
    """Recorded arguments or a result: JSON text as it is, anything else made JSON."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value if value[:1] in '{["0123456789-tfn' and parsed(value) is not value else dump(value)
    return dump(value)


def dump(value: object) -> str:
    """Compact JSON; what JSON has no form for as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def events_text(events: Iterable[tuple[int, str, dict[str, Value]]]) -> str:
    """The ``events`` column: name, time in ns and attributes of each."""
    return dump(
        [
            {
                "name": name,
                "time": time,
                "attributes": {key: text(value) for key, value in attributes.items()},
            }
            for time, name, attributes in events
        ]
    )
