"""OpenAI Chat Completions: bodies and stream events in, the answer they hold out."""

from __future__ import annotations

from typing import Any

from spanledger.serving.answers import Answer, Choice, EventKind
from spanledger.serving.protocols.values import Json, integer, obj, objects, text
from spanledger.serving.usage import normalise

_TOLD_LATER = frozenset({"usage", "service_tier"})  # of the head, by later events as well
_PLAIN = frozenset({"content", "role"})


def read_body(body: Json) -> Answer:
    """The answer in a ``chat.completion`` body."""
    answer = Answer(ended=True)
    _head(answer, body)
    for place, item in enumerate(objects(body.get("choices"))):
        choice = answer.choice(_index(item, place))
        _message(choice, obj(item.get("message")))
        choice.finish_reason = text(item.get("finish_reason"))
    return answer


def read_event(answer: Answer, event: Json) -> EventKind:
    """Add one ``chat.completion.chunk`` to the answer and say what it was."""
    error = error_of(event)
    if error is not None:
        answer.error = error
        return "error"
    if not (answer.id and answer.model and _TOLD_LATER.isdisjoint(event)):
        _head(answer, event)
    kind: EventKind = "other"
    choices = event.get("choices")
    if not choices:
        return "usage" if isinstance(event.get("usage"), dict) else "other"
    for place, item in enumerate(objects(choices)):
        choice = answer.choice(_index(item, place))
        if _message(choice, obj(item.get("delta"))):
            kind = "content"
        if item.get("logprobs"):
            choice.other = True  # nothing else of the stream holds them
        if reason := text(item.get("finish_reason")):
            choice.finish_reason = reason
            kind = "content"
    return kind


def error_of(event: Json) -> dict[str, Any] | None:
    """The error that an event or body carries in place of an answer (vLLM's older form included)."""
    if error := event.get("error"):
        return obj(error) or {"message": str(error)}
    return event if event.get("object") == "error" else None


def _head(answer: Answer, event: Json) -> None:
    if not answer.id:
        answer.id = text(event.get("id"))
    if not answer.model:
        answer.model = text(event.get("model"))
    if tier := text(event.get("service_tier")):
        answer.service_tier = tier
    usage = event.get("usage")
    if usage:
        answer.usage = normalise(obj(usage)) or answer.usage


def _index(item: Json, place: int) -> int:
    index = integer(item.get("index"))
    return place if index is None else index


def _message(choice: Choice, message: Json) -> bool:
    """Add a message or a delta; whether it held any part of an answer."""
    found = False
    get = message.get
    if content := text(get("content")):
        choice.text.append(content)
        found = True
    if message.keys() <= _PLAIN:  # nearly every event of a stream
        return found
    if (told := get("reasoning_content") or get("reasoning")) and (thought := text(told)):
        choice.reasoning.append(thought)
        found = True
    if (told := get("refusal")) and (refusal := text(told)):
        choice.refusal.append(refusal)
        found = True
    if get("audio") or get("annotations"):
        choice.other = found = True
    if calls := get("tool_calls"):
        for place, call in enumerate(objects(calls)):
            _tool(
                choice,
                _index(call, place),
                text(call.get("id")),
                obj(call.get("function") or call.get("custom")),
            )
            found = True
    if legacy := obj(get("function_call")):
        _tool(choice, 0, "", legacy)
        found = True
    return found


def _tool(choice: Choice, index: int, identity: str, function: Json) -> None:
    call = choice.tool(index)
    call.id = identity or call.id
    call.name = text(function.get("name")) or call.name
    if arguments := text(function.get("arguments")) or text(function.get("input")):
        call.arguments.append(arguments)
