"""What both directions of translation share: errors, the stream's shape, how reasons to end correspond."""

from __future__ import annotations

from typing import Protocol

from spanledger.serving.protocols.values import Json

STOP_OF_FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
FINISH_OF_STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class UntranslatableError(ValueError):
    """The other API cannot say this; the message tells what."""


class StreamTranslator(Protocol):
    """One stream's events in, the caller's bytes out."""

    def event(self, event: Json) -> bytes:
        """The caller's events for one of the provider's; may be empty."""
        ...

    def done(self) -> bytes:
        """The caller's last events, once the provider's answer is complete."""
        ...
