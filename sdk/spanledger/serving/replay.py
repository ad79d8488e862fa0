"""A kept answer in, the stream or the body that a caller expects out, usage included.

An answer is kept in the form of a whole body. A caller that streams gets it as a stream of the same
events a provider would send, and a stream that was watched is put together to such a body.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from spanledger.serving import sse
from spanledger.serving.answers import Answer, Choice
from spanledger.serving.asks import Endpoint
from spanledger.serving.protocols.values import Json, obj, objects, text
from spanledger.serving.usage import Usage


def body(endpoint: Endpoint, answer: Answer) -> bytes | None:
    """The whole body of a plain text answer that was streamed; None where it cannot be put together."""
    if endpoint == "responses":
        return orjson.dumps(answer.whole) if answer.whole is not None else None
    if endpoint == "chat":
        return orjson.dumps(_chat_body(answer))
    return orjson.dumps(_message_body(answer)) if endpoint == "messages" else None


def stream(endpoint: Endpoint, whole: bytes, *, with_usage: bool) -> bytes:
    """The stream of a kept body; ``with_usage`` says whether a chat caller asked for the usage chunk."""
    kept: Json = orjson.loads(whole)
    match endpoint:
        case "messages":
            return _message_stream(kept)
        case "responses":
            return _response_stream(kept)
        case _:
            return _chat_stream(kept, with_usage)


def chat_usage(usage: Usage | None) -> Json | None:
    """Usage as chat completions word it: totals that include their parts."""
    if usage is None:
        return None
    prompt, completion = usage.input_total or 0, usage.output_total or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def message_usage(usage: Usage | None) -> Json:
    """Usage as Anthropic words it: cached tokens stand beside ``input_tokens``."""
    usage = usage or Usage()
    writes = (usage.cache_write_tokens or 0) + (usage.cache_write_1h_tokens or 0)
    return {
        "input_tokens": usage.input_tokens or 0,
        "cache_creation_input_tokens": writes,
        "cache_read_input_tokens": usage.cache_read_tokens or 0,
        "output_tokens": usage.output_total or 0,
    }


def _chat_body(answer: Answer) -> Json:
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [
            {
                "index": index,
                "message": _chat_message(choice),
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in sorted(answer.choices.items())
        ],
        "usage": chat_usage(answer.usage),
    }


def _chat_message(choice: Choice) -> Json:
    message: Json = {"role": "assistant", "content": "".join(choice.text), "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    return message


def _message_body(answer: Answer) -> Json | None:
    choice = answer.choice()
    if choice.reasoning:
        return None  # a thinking block needs its signature, which is not gathered
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [{"type": "text", "text": "".join(choice.text)}],
        "stop_reason": choice.finish_reason,
        "stop_sequence": None,
        "usage": message_usage(answer.usage),
    }


def _chat_stream(kept: Json, with_usage: bool) -> bytes:
    head = {
        "id": kept.get("id"),
        "object": "chat.completion.chunk",
        "created": kept.get("created"),
        "model": kept.get("model"),
    }
    events: list[bytes] = []

    def chunk(choices: list[Json], **more: Any) -> None:
        events.append(sse.event({**head, "choices": choices, **more}))

    for choice in objects(kept.get("choices")):
        index, message = choice.get("index", 0), obj(choice.get("message"))
        delta = {name: value for name, value in message.items() if value is not None}
        chunk([{"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}])
        chunk([{"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")}])
    if with_usage:
        chunk([], usage=kept.get("usage"))
    return b"".join([*events, sse.DONE])


def _message_stream(kept: Json) -> bytes:
    usage = obj(kept.get("usage"))
    start: Json = {**kept, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 0}}
    events = [_named({"type": "message_start", "message": start})]
    for index, block in enumerate(objects(kept.get("content"))):
        empty, delta = _block_delta(block)
        events.append(_named({"type": "content_block_start", "index": index, "content_block": empty}))
        if delta:
            events.append(_named({"type": "content_block_delta", "index": index, "delta": delta}))
        events.append(_named({"type": "content_block_stop", "index": index}))
    end = {"stop_reason": kept.get("stop_reason"), "stop_sequence": kept.get("stop_sequence")}
    usage_end = {"output_tokens": usage.get("output_tokens", 0)}
    events.append(_named({"type": "message_delta", "delta": end, "usage": usage_end}))
    events.append(_named({"type": "message_stop"}))
    return b"".join(events)


def _block_delta(block: Json) -> tuple[Json, Json]:
    if block.get("type") == "text":
        return {**block, "text": ""}, {"type": "text_delta", "text": text(block.get("text"))}
    return block, {}


def _response_stream(kept: Json) -> bytes:
    events: list[bytes] = []

    def add(kind: str, **fields: Any) -> None:
        events.append(_named({"type": kind, "sequence_number": len(events), **fields}))

    started: Json = {**kept, "status": "in_progress", "output": [], "usage": None}
    add("response.created", response=started)
    add("response.in_progress", response=started)
    for place, item in enumerate(objects(kept.get("output"))):
        content = objects(item.get("content"))
        add(
            "response.output_item.added",
            output_index=place,
            item={**item, "content": [], "status": "in_progress"},
        )
        for index, part in enumerate(content):
            where = {"item_id": item.get("id"), "output_index": place, "content_index": index}
            add("response.content_part.added", **where, part={**part, "text": ""})
            add("response.output_text.delta", **where, delta=part.get("text", ""), logprobs=[])
            add("response.output_text.done", **where, text=part.get("text", ""), logprobs=[])
            add("response.content_part.done", **where, part=part)
        add("response.output_item.done", output_index=place, item=item)
    add("response.completed", response=kept)
    return b"".join(events)


def _named(data: Json) -> bytes:
    return sse.event(data, text(data.get("type")))
