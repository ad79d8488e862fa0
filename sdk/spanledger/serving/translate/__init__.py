"""OpenAI chat and Anthropic messages as each other's backup: requests, answers, streams, tools.

``translation(endpoint, wire)`` gives what turns a caller's request into the provider's API and the answer
back. What the other API cannot say (several choices, audio) raises ``UntranslatableError``, so that such a
target is passed by; what it would merely ignore (seed, penalties) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spanledger.serving.asks import Endpoint, Wire
from spanledger.serving.protocols.values import Json
from spanledger.serving.translate import chat_answers, chat_requests, message_answers, message_requests
from spanledger.serving.translate.common import StreamTranslator, UntranslatableError

__all__ = ["StreamTranslator", "Translation", "UntranslatableError", "translation"]


@dataclass(slots=True, frozen=True)
class Translation:
    """How a caller's API and a provider's differ."""

    request: Callable[[Json], Json]
    """The caller's body as the provider's; raises UntranslatableError."""
    answer: Callable[[Json], Json]
    """The provider's whole body as the caller's."""
    stream: Callable[[bool], StreamTranslator]
    """A fresh translator of one stream; the argument says whether a chat caller wants the usage chunk."""


_TRANSLATIONS: dict[tuple[Endpoint, Wire], Translation] = {
    ("chat", "messages"): Translation(
        chat_requests.to_messages, message_answers.to_chat, message_answers.MessagesToChat
    ),
    ("messages", "chat"): Translation(
        message_requests.to_chat, chat_answers.to_message, chat_answers.ChatToMessages
    ),
}


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
