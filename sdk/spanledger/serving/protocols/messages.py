"""Anthropic Messages: bodies and stream events in, the answer they hold out."""

from __future__ import annotations

import orjson

from spanledger.serving.answers import Answer, EventKind
from spanledger.serving.protocols.values import Json, integer, obj, objects, text
from spanledger.serving.usage import merged, normalise


def read_body(body: Json) -> Answer:
    """The answer in a ``message`` body."""
    answer = Answer(ended=True)
    _head(answer, body)
    for index, block in enumerate(objects(body.get("content"))):
        _block(answer, index, block)
    answer.choice().finish_reason = text(body.get("stop_reason"))
    return answer


def read_event(answer: Answer, event: Json) -> EventKind:
    """Add one stream event to the answer and say what it was."""
    match event.get("type"):
        case "content_block_delta":
            return _delta(answer, integer(event.get("index")) or 0, obj(event.get("delta")))
        case "content_block_start":
            return _block(answer, integer(event.get("index")) or 0, obj(event.get("content_block")))
        case "message_start":
            _head(answer, obj(event.get("message")))
        case "message_delta":
            answer.usage = merged(answer.usage, normalise(obj(event.get("usage"))))
            if reason := text(obj(event.get("delta")).get("stop_reason")):
                answer.choice().finish_reason = reason
            return "content"
        case "message_stop":
            answer.ended = True
            return "end"
        case "error":
            answer.error = obj(event.get("error")) or {"message": "unknown"}
            return "error"
        case _:
            pass
    return "other"


def _head(answer: Answer, message: Json) -> None:
    answer.id = text(message.get("id"))
    answer.model = text(message.get("model"))
    usage = obj(message.get("usage"))
    answer.usage = merged(answer.usage, normalise(usage))
    # Its fast mode is billed as a tier of its own.
    answer.service_tier = "fast" if usage.get("speed") == "fast" else text(usage.get("service_tier"))
    answer.region = text(usage.get("inference_geo"))


def _block(answer: Answer, index: int, block: Json) -> EventKind:
    choice = answer.choice()
    match block.get("type"):
        case "text":
            return _add(choice.text, text(block.get("text")))
        case "thinking":
            return _add(choice.reasoning, text(block.get("thinking")))
        case "tool_use":
            call = choice.tool(index)
            call.id, call.name = text(block.get("id")), text(block.get("name"))
            if block.get("input"):
                call.arguments.append(orjson.dumps(block["input"]).decode())
            return "content"
        case _:
            choice.other = True
            return "content"


def _delta(answer: Answer, index: int, delta: Json) -> EventKind:
    choice = answer.choice()
    match delta.get("type"):
        case "text_delta":
            return _add(choice.text, text(delta.get("text")))
        case "thinking_delta":
            return _add(choice.reasoning, text(delta.get("thinking")))
        case "input_json_delta":
            if index in choice.tool_calls:
                choice.tool_calls[index].arguments.append(text(delta.get("partial_json")))
            return "content"
        case "citations_delta":
            choice.other = True
            return "content"
        case _:
            return "other"


def _add(pieces: list[str], piece: str) -> EventKind:
    if not piece:
        return "other"
    pieces.append(piece)
    return "content"
