"""An Anthropic message, whole or as a stream, in; a chat completion out."""

from __future__ import annotations

import time
from typing import Any

import orjson

from spanledger.serving import sse
from spanledger.serving.answers import Answer
from spanledger.serving.protocols import messages
from spanledger.serving.protocols.values import Json, integer, obj, text
from spanledger.serving.replay import chat_usage
from spanledger.serving.translate.common import FINISH_OF_STOP


def to_chat(body: Json) -> Json:
    """Translate a whole message."""
    answer = messages.read_body(body)
    choice = answer.choice()
    message: Json = {"role": "assistant", "content": "".join(choice.text) or None, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": "".join(call.arguments) or "{}"},
        }
        for _, call in sorted(choice.tool_calls.items())
    ]
    if calls:
        message["tool_calls"] = calls
    finish = FINISH_OF_STOP.get(choice.finish_reason, "stop")
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": chat_usage(answer.usage),
    }


class MessagesToChat:
    """A stream of message events into a stream of chat completion chunks."""

    def __init__(self, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._answer = Answer()
        self._created = int(time.time())
        self._tools: dict[int, int] = {}  # block -> place among the tool calls

    def event(self, event: Json) -> bytes:
        """The chunks for one event."""
        messages.read_event(self._answer, event)
        match event.get("type"):
            case "message_start":
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case "content_block_start":
                return self._block(integer(event.get("index")) or 0, obj(event.get("content_block")))
            case "content_block_delta":
                return self._piece(integer(event.get("index")) or 0, obj(event.get("delta")))
            case "message_delta":
                reason = text(obj(event.get("delta")).get("stop_reason"))
                return self._chunk([self._choice({}, FINISH_OF_STOP.get(reason, "stop"))]) if reason else b""
            case _:
                return b""

    def done(self) -> bytes:
        """The usage chunk, when asked for, and the end."""
        usage = self._chunk([], usage=chat_usage(self._answer.usage)) if self._with_usage else b""
        return usage + sse.DONE

    def _block(self, index: int, block: Json) -> bytes:
        if block.get("type") != "tool_use":
            return self._piece(index, {"type": f"{block.get('type')}_delta", **block})
        place = self._tools[index] = len(self._tools)
        given = block.get("input")
        arguments = orjson.dumps(given).decode() if given else ""
        function = {"name": text(block.get("name")), "arguments": arguments}
        call = {"index": place, "id": text(block.get("id")), "type": "function", "function": function}
        return self._delta({"tool_calls": [call]})

    def _piece(self, index: int, delta: Json) -> bytes:
        match delta.get("type"):
            case "text_delta" if delta.get("text"):
                return self._delta({"content": delta["text"]})
            case "thinking_delta" if delta.get("thinking"):
                return self._delta({"reasoning_content": delta["thinking"]})
            case "input_json_delta" if index in self._tools:
                function = {"arguments": text(delta.get("partial_json"))}
                return self._delta({"tool_calls": [{"index": self._tools[index], "function": function}]})
            case _:
                return b""

    def _delta(self, delta: Json) -> bytes:
        return self._chunk([self._choice(delta, None)])

    @staticmethod
    def _choice(delta: Json, finish: str | None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}

    def _chunk(self, choices: list[Json], **more: Any) -> bytes:
        if self._with_usage and "usage" not in more:
            more["usage"] = None
        head = {"id": self._answer.id, "object": "chat.completion.chunk", "created": self._created}
        return sse.event({**head, "model": self._answer.model, "choices": choices, **more})
