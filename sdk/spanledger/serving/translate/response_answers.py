"""A chat completion, whole or as a stream, in; an OpenAI response out."""

from __future__ import annotations

import time
from typing import Any, Literal

from spanledger.serving import sse
from spanledger.serving.answers import Answer
from spanledger.serving.protocols import chat
from spanledger.serving.protocols.values import Json, integer, obj, objects, text
from spanledger.serving.usage import Usage

Kind = Literal["reasoning", "message", "refusal", "function_call"]
_WHY_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def to_response(body: Json) -> Json:
    """Translate a whole chat completion; of several choices the first."""
    answer = chat.read_body(body)
    choice = answer.choice()
    items: list[Json] = []
    if choice.reasoning:
        items.append(_item("reasoning", answer.id, 0, "".join(choice.reasoning)))
    if choice.text:
        items.append(_item("message", answer.id, len(items), "".join(choice.text)))
    if choice.refusal:
        items.append(_item("refusal", answer.id, len(items), "".join(choice.refusal)))
    for _, call in sorted(choice.tool_calls.items()):
        named = {"call_id": call.id, "name": call.name}
        items.append(
            {**_item("function_call", answer.id, len(items), "".join(call.arguments) or "{}"), **named}
        )
    return _response(answer, choice.finish_reason, items)


def response_usage(usage: Usage | None) -> Json | None:
    """Usage as Responses word it: totals that include their parts."""
    if usage is None:
        return None
    given, made = usage.input_total or 0, usage.output_total or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens or 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": given + made,
    }


def _response(answer: Answer, finish: str, items: list[Json], status: str = "") -> Json:
    why = _WHY_INCOMPLETE.get(finish)
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status or ("incomplete" if why else "completed"),
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None if status else response_usage(answer.usage),
    }


def _item(kind: Kind, answer_id: str, place: int, words: str) -> Json:
    identity = f"{kind}_{place}_{answer_id}"
    match kind:
        case "reasoning":
            return {"id": identity, "type": kind, "summary": [{"type": "summary_text", "text": words}]}
        case "function_call":
            return {"id": identity, "type": kind, "status": "completed", "arguments": words}
        case _:
            return {
                "id": identity,
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [_part(kind, words)],
            }


def _part(kind: Kind, words: str) -> Json:
    if kind == "refusal":
        return {"type": "refusal", "refusal": words}
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


class ChatToResponse:
    """A stream of chat completion chunks into a stream of response events. One item is open at a time."""

    def __init__(self) -> None:
        self._answer = Answer()
        self._items: list[Json] = []  # those that are closed
        self._kind: Kind | None = None  # of the open one
        self._call = -1  # its place among the tool calls
        self._named: Json = {}
        self._words: list[str] = []
        self._sequence = 0
        self._finish = ""

    def event(self, event: Json) -> bytes:
        """The response events for one chunk; the end is told by ``done``, when usage is known."""
        chat.read_event(self._answer, event)
        out: list[bytes] = []
        for choice in objects(event.get("choices")):
            if integer(choice.get("index")):
                continue
            if not self._sequence:
                out += self._start()
            out += self._delta(obj(choice.get("delta")))
            self._finish = text(choice.get("finish_reason")) or self._finish
        return b"".join(out)

    def done(self) -> bytes:
        """Close the open item and the response."""
        out = [] if self._sequence else self._start()
        out += self._close()
        response = _response(self._answer, self._finish, self._items)
        out.append(self._event(f"response.{response['status']}", response=response))
        return b"".join(out)

    def _start(self) -> list[bytes]:
        begun = _response(self._answer, "", [], status="in_progress")
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
        ]

    def _delta(self, delta: Json) -> list[bytes]:
        out: list[bytes] = []
        if thought := text(delta.get("reasoning_content")) or text(delta.get("reasoning")):
            out += self._more("reasoning", -1, {}, thought)
        if words := text(delta.get("content")):
            out += self._more("message", -1, {}, words)
        if refusal := text(delta.get("refusal")):
            out += self._more("refusal", -1, {}, refusal)
        for place, call in enumerate(objects(delta.get("tool_calls"))):
            index, function = integer(call.get("index")), obj(call.get("function"))
            named = {"call_id": text(call.get("id")), "name": text(function.get("name"))}
            arguments = text(function.get("arguments"))
            out += self._more("function_call", place if index is None else index, named, arguments)
        return out

    def _more(self, kind: Kind, call: int, named: Json, words: str) -> list[bytes]:
        out: list[bytes] = []
        if (self._kind, self._call) != (kind, call):
            out += self._close()
            self._kind, self._call, self._named = kind, call, named
            out += self._open()
        if words:
            self._words.append(words)
            out.append(self._piece(kind, words))
        return out

    def _open(self) -> list[bytes]:
        item = self._made("")
        if item["type"] == "message":
            item |= {"status": "in_progress", "content": []}
        elif item["type"] == "reasoning":
            item["summary"] = []
        else:
            item["status"] = "in_progress"
        out = [self._event("response.output_item.added", output_index=len(self._items), item=item)]
        match self._kind:
            case "message" | "refusal":
                part = _part(self._kind, "")
                out.append(
                    self._event("response.content_part.added", **self._where(), content_index=0, part=part)
                )
            case "reasoning":
                part = {"type": "summary_text", "text": ""}
                out.append(
                    self._event(
                        "response.reasoning_summary_part.added", **self._where(), summary_index=0, part=part
                    )
                )
            case _:
                pass
        return out

    def _piece(self, kind: Kind, words: str) -> bytes:
        match kind:
            case "message":
                more: Json = {"content_index": 0, "logprobs": []}
                return self._event("response.output_text.delta", **self._where(), **more, delta=words)
            case "refusal":
                return self._event("response.refusal.delta", **self._where(), content_index=0, delta=words)
            case "reasoning":
                name = "response.reasoning_summary_text.delta"
                return self._event(name, **self._where(), summary_index=0, delta=words)
            case _:
                return self._event("response.function_call_arguments.delta", **self._where(), delta=words)

    def _close(self) -> list[bytes]:
        kind = self._kind
        if kind is None:
            return []
        words = "".join(self._words) or ("{}" if kind == "function_call" else "")
        where, item = self._where(), self._made(words)
        out: list[bytes] = []
        match kind:
            case "function_call":
                done = {"name": item["name"], "arguments": words}
                out.append(self._event("response.function_call_arguments.done", **where, **done))
            case "reasoning":
                where["summary_index"] = 0
                out.append(self._event("response.reasoning_summary_text.done", **where, text=words))
                part = {"type": "summary_text", "text": words}
                out.append(self._event("response.reasoning_summary_part.done", **where, part=part))
            case _:
                where["content_index"] = 0
                if kind == "refusal":
                    out.append(self._event("response.refusal.done", **where, refusal=words))
                else:
                    out.append(self._event("response.output_text.done", **where, text=words, logprobs=[]))
                out.append(self._event("response.content_part.done", **where, part=_part(kind, words)))
        out.append(self._event("response.output_item.done", output_index=len(self._items), item=item))
        self._items.append(item)
        self._kind, self._call, self._words = None, -1, []
        return out

    def _made(self, words: str) -> Json:
        assert self._kind is not None
        return {**_item(self._kind, self._answer.id, len(self._items), words), **self._named}

    def _where(self) -> Json:
        return {"item_id": self._made("")["id"], "output_index": len(self._items)}

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = sse.event({"type": kind, "sequence_number": self._sequence, **fields}, kind)
        self._sequence += 1
        return event
