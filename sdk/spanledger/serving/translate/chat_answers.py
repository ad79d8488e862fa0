"""A chat completion, whole or as a stream, in; an Anthropic message out."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from spanledger.serving import sse
from spanledger.serving.answers import Answer
from spanledger.serving.protocols import chat
from spanledger.serving.protocols.values import Json, integer, obj, objects, text
from spanledger.serving.replay import message_usage
from spanledger.serving.translate.common import STOP_OF_FINISH

Kind = Literal["text", "thinking", "tool_use"]


def to_message(body: Json) -> Json:
    """Translate a whole chat completion; of several choices the first."""
    answer = chat.read_body(body)
    choice = answer.choice()
    content: list[Json] = []
    if choice.reasoning:
        content.append({"type": "thinking", "thinking": "".join(choice.reasoning), "signature": ""})
    if words := "".join(choice.text) or "".join(choice.refusal):
        content.append({"type": "text", "text": words, "citations": None})
    for _, call in sorted(choice.tool_calls.items()):
        given = _input("".join(call.arguments))
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": given})
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": STOP_OF_FINISH.get(choice.finish_reason, "end_turn"),
        "stop_sequence": None,
        "usage": message_usage(answer.usage),
    }


def _input(arguments: str) -> Json:
    try:
        return obj(orjson.loads(arguments or "{}"))
    except orjson.JSONDecodeError:
        return {}


class ChatToMessages:
    """A stream of chat completion chunks into a stream of message events. Blocks never overlap."""

    def __init__(self, with_usage: bool) -> None:
        self._answer = Answer()
        self._started = False
        self._index = -1
        self._open: tuple[Kind, int] | None = None  # kind and, for tools, the call's place
        self._finish = ""

    def event(self, event: Json) -> bytes:
        """The message events for one chunk; the end is told by ``done``, when usage is known."""
        chat.read_event(self._answer, event)
        out: list[bytes] = []
        for choice in objects(event.get("choices")):
            if integer(choice.get("index")):
                continue
            if not self._started:
                self._started = True
                out.append(self._start())
            out += self._delta(obj(choice.get("delta")))
            self._finish = text(choice.get("finish_reason")) or self._finish
        return b"".join(out)

    def done(self) -> bytes:
        """Close the open block and the message."""
        out = [] if self._started else [self._start()]
        out += self._close()
        stop = {"stop_reason": STOP_OF_FINISH.get(self._finish, "end_turn"), "stop_sequence": None}
        out.append(_event("message_delta", delta=stop, usage=message_usage(self._answer.usage)))
        out.append(_event("message_stop"))
        return b"".join(out)

    def _start(self) -> bytes:
        message: Json = {
            "id": self._answer.id,
            "type": "message",
            "role": "assistant",
            "model": self._answer.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": message_usage(None),
        }
        return _event("message_start", message=message)

    def _delta(self, delta: Json) -> list[bytes]:
        out: list[bytes] = []
        if thought := text(delta.get("reasoning_content")) or text(delta.get("reasoning")):
            out += self._enter("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
            out.append(self._piece({"type": "thinking_delta", "thinking": thought}))
        if words := text(delta.get("content")) or text(delta.get("refusal")):
            out += self._enter("text", 0, {"type": "text", "text": "", "citations": None})
            out.append(self._piece({"type": "text_delta", "text": words}))
        for place, call in enumerate(objects(delta.get("tool_calls"))):
            index = integer(call.get("index"))
            out += self._call(place if index is None else index, call)
        return out

    def _call(self, place: int, call: Json) -> list[bytes]:
        function = obj(call.get("function"))
        block: Json = {
            "type": "tool_use",
            "id": text(call.get("id")),
            "name": text(function.get("name")),
            "input": {},
        }
        out = self._enter("tool_use", place, block)
        if arguments := text(function.get("arguments")):
            out.append(self._piece({"type": "input_json_delta", "partial_json": arguments}))
        return out

    def _enter(self, kind: Kind, place: int, block: Json) -> list[bytes]:
        if self._open == (kind, place):
            return []
        out = self._close()
        self._index += 1
        self._open = (kind, place)
        return [*out, _event("content_block_start", index=self._index, content_block=block)]

    def _piece(self, delta: Json) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> list[bytes]:
        if self._open is None:
            return []
        self._open = None
        return [_event("content_block_stop", index=self._index)]


def _event(kind: str, **fields: Any) -> bytes:
    return sse.event({"type": kind, **fields}, kind)
