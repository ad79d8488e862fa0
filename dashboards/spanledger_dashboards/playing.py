"""A conversation tried on routes or models: messages and targets in; each one's answer, time, tokens and cost out.

Calls go through the gateway with the asker's own key, or with the dashboard's for those who may edit that key's
project, so that they are budgeted and recorded like any other, with purpose ``playground``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from spanledger import messages as shapes
from spanledger import semconv

PURPOSE = "playground"
TIMEOUT_S = 120.0
MOST_TARGETS = 4


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where calls go, as ``http://127.0.0.1:4000/v1``, and the dashboard's own key with the project it acts for.

    ``project`` is asked anew each time, as keys are revoked; empty where the key may not call models now.
    """

    url: str
    key: str = field(default="", repr=False)
    project: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one target made of it; ``cost`` in USD as the gateway says it, empty when unknown."""

    target: str
    text: str = ""
    error: str = ""
    duration_ns: int = 0
    tokens: int | None = None
    cost: str = ""
    cache: str = ""
    upstream: str = ""
    trace_id: str = ""


async def tried(
    gateway: Gateway,
    key: str,
    targets: Sequence[str],
    messages: list[dict[str, Any]],
    options: dict[str, Any],
) -> list[Tried]:
    """Ask every target at once; a failure is an answer of its own."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        return await asyncio.gather(
            *(
                _one(client, gateway.url, key, {"model": target, "messages": messages, **options})
                for target in targets
            )
        )


async def _one(client: httpx.AsyncClient, url: str, key: str, body: dict[str, Any]) -> Tried:
    headers = {"authorization": f"Bearer {key}", "x-spanledger-purpose": PURPOSE}
    target, began = str(body["model"]), time.monotonic_ns()
    try:
        answer = await client.post(f"{url}/chat/completions", json=body, headers=headers)
    except httpx.HTTPError as wrong:
        return Tried(target, error=f"no answer from the gateway: {str(wrong) or type(wrong).__name__}")
    took = time.monotonic_ns() - began
    trace = answer.headers.get(semconv.HEADER_TRACE_ID, "")
    try:
        loaded: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            error = loaded.get("error")
            told = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else answer.text
            return Tried(
                target, error=f"{answer.status_code}: {told}"[:1000], duration_ns=took, trace_id=trace
            )
        message = loaded["choices"][0]["message"]
        usage: dict[str, Any] = loaded.get("usage") or {}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Tried(
            target, error=f"{answer.status_code}: {answer.text[:500]}", duration_ns=took, trace_id=trace
        )
    calls = message.get("tool_calls")
    text = message.get("content") or (json.dumps(calls, indent=2) if calls else "")
    return Tried(
        target,
        text=str(text),
        duration_ns=took,
        tokens=usage.get("total_tokens"),
        cost=answer.headers.get(semconv.HEADER_COST, ""),
        cache=answer.headers.get(semconv.HEADER_CACHE, ""),
        upstream=answer.headers.get(semconv.HEADER_UPSTREAM, ""),
        trace_id=trace,
    )


def read_messages(text: str) -> list[dict[str, Any]]:
    """What was typed: a JSON list of messages, or plain text, which is one message of a user.

    Raises ValueError, with words for the reader, for a list that holds no messages.
    """
    if not text.strip():
        raise ValueError("Write a message first.")
    if not text.lstrip().startswith("["):
        return [{"role": "user", "content": text}]
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise ValueError(f"This list is no JSON: {wrong}") from wrong
    items = cast("list[object]", loaded)
    if not items or not all(isinstance(item, dict) and "role" in item for item in items):
        raise ValueError('A conversation is a list of messages: [{"role": "user", "content": "..."}].')
    return cast("list[dict[str, Any]]", items)


def replayed(recorded: str) -> str:
    """A recorded prompt as it can be asked again: plain text for one message of a user, else a JSON list."""
    asked = [_chat(message) for message in shapes.parse(recorded)]
    found = [message for many in asked for message in many]
    if len(found) == 1 and found[0]["role"] in ("user", ""):
        return str(found[0]["content"])
    return json.dumps(found, ensure_ascii=False, indent=2) if found else ""


def replayed_template(messages: Sequence[Any]) -> str:
    """A prompt's messages as they can be asked."""
    return json.dumps(list(messages), ensure_ascii=False, indent=2)


def _chat(message: dict[str, Any]) -> list[dict[str, Any]]:
    """One stored message as the chat API takes it; each result of a tool is a message of its own."""
    parts = [cast("dict[str, Any]", part) for part in message.get("parts", []) if isinstance(part, dict)]
    results = [
        {"role": "tool", "tool_call_id": str(part.get("id") or ""), "content": _said(part.get("response"))}
        for part in parts
        if part.get("type") == "tool_call_response"
    ]
    calls = [
        {
            "id": str(part.get("id") or ""),
            "type": "function",
            "function": {"name": str(part.get("name") or ""), "arguments": _said(part.get("arguments"))},
        }
        for part in parts
        if part.get("type") == "tool_call"
    ]
    text = shapes.text_of([message])
    if not text and not calls:
        return results
    made: dict[str, Any] = {"role": str(message.get("role") or "user"), "content": text}
    if calls:
        made["tool_calls"] = calls
    return [made, *results]


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
