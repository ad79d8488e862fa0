"""OpenAI chat and responses, and Anthropic messages, as each other's backup: requests, answers, streams, tools.

``translation(endpoint, wire)`` gives what turns a caller's request into the provider's API and the answer
back. What the other API cannot say (several choices, audio) raises ``UntranslatableError``, so that such a
target is passed by; what it would merely ignore (seed, penalties) is left out, and ``left_out`` names it.
Responses reach an Anthropic upstream by way of chat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from spanledger.serving import sse
from spanledger.serving.asks import Endpoint, Wire
from spanledger.serving.protocols.values import Json
from spanledger.serving.translate import (
    chat_answers,
    chat_requests,
    message_answers,
    message_requests,
    response_answers,
    response_requests,
)
from spanledger.serving.translate.common import StreamTranslator, UntranslatableError

__all__ = ["StreamTranslator", "Translation", "UntranslatableError", "left_out", "translation"]


@dataclass(slots=True, frozen=True)
class Translation:
    """How a caller's API and a provider's differ."""

    request: Callable[[Json], Json]
    """The caller's body as the provider's; raises UntranslatableError."""
    answer: Callable[[Json], Json]
    """The provider's whole body as the caller's."""
    stream: Callable[[bool], StreamTranslator]
    """A fresh translator of one stream; the argument says whether a chat caller wants the usage chunk."""


class _ByWayOfChat:
    """A stream of message events into response events: each half is a translator of its own."""

    def __init__(self) -> None:
        self._first = message_answers.MessagesToChat(with_usage=True)
        self._second = response_answers.ChatToResponse()

    def event(self, event: Json) -> bytes:
        """The response events for one message event."""
        return self._on(self._first.event(event))

    def done(self) -> bytes:
        """The last response events."""
        return self._on(self._first.done()) + self._second.done()

    def _on(self, chunks: bytes) -> bytes:
        data = map(sse.data_of, sse.EventSplitter().feed(chunks))
        return b"".join(self._second.event(orjson.loads(one)) for one in data if one != b"[DONE]")


_TRANSLATIONS: dict[tuple[Endpoint, Wire], Translation] = {
    ("chat", "messages"): Translation(
        chat_requests.to_messages, message_answers.to_chat, message_answers.MessagesToChat
    ),
    ("messages", "chat"): Translation(
        message_requests.to_chat, chat_answers.to_message, chat_answers.ChatToMessages
    ),
    ("responses", "messages"): Translation(
        lambda body: chat_requests.to_messages(response_requests.to_chat(body)),
        lambda body: response_answers.to_response(message_answers.to_chat(body)),
        lambda _: _ByWayOfChat(),
    ),
}

# Fields that the other API has no word for, and that an answer can do without. What it cannot do without is refused.
_LEFT_OUT: dict[Endpoint, frozenset[str]] = {
    "chat": frozenset(
        {
            "seed",
            "frequency_penalty",
            "presence_penalty",
            "logit_bias",
            "metadata",
            "store",
            "service_tier",
            "prediction",
            "verbosity",
            "prompt_cache_key",
            "prompt_cache_retention",
        }
    ),
    "messages": frozenset({"top_k", "thinking", "service_tier", "context_management", "cache_control"}),
    "responses": frozenset(
        {
            "metadata",
            "store",
            "service_tier",
            "include",
            "truncation",
            "prompt_cache_key",
            "prompt_cache_retention",
            "max_tool_calls",
            "stream_options",
        }
    ),
    "embeddings": frozenset(),
}


def left_out(endpoint: Endpoint, body: Json) -> list[str]:
    """The body's fields that a translated request does not say, in order."""
    return sorted(name for name in body.keys() & _LEFT_OUT[endpoint] if body[name] is not None)


def translation(endpoint: Endpoint, wire: Wire) -> Translation | None:
    """What translates between the two; None where both are the same API.

    Raises:
        UntranslatableError: there is no way from one to the other.
    """
    if endpoint == wire:
        return None
    found = _TRANSLATIONS.get((endpoint, wire))
    if found is None:
        raise UntranslatableError(f"an upstream that speaks {wire} cannot serve {endpoint}")
    return found
