"""What a model answered, gathered from one body or from a stream's events, whatever the protocol.

It holds what the ledger records and the cache keeps: text, reasoning, tool calls, why it ended, usage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from spanledger.serving.usage import Usage

EventKind = Literal["other", "content", "usage", "end", "error"]
"""What one stream event is: ``content`` carries a part of the answer or its end reason, ``usage`` only
usage, ``end`` completes the stream, ``error`` says that the provider failed."""


@dataclass(slots=True)
class ToolCall:
    """One function call; ``arguments`` is the JSON text as it came, in pieces."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Choice:
    """One of the answers to a request."""

    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    tool_calls: dict[int, ToolCall] = field(default_factory=dict[int, ToolCall])
    finish_reason: str = ""
    other: bool = False  # holds parts that have no plain text form, such as audio or a server's tool

    def tool(self, index: int) -> ToolCall:
        """The call at this place of the answer, made when it is new."""
        found = self.tool_calls.get(index)
        if found is None:
            found = self.tool_calls[index] = ToolCall()
        return found


@dataclass(slots=True)
class Answer:
    """Everything one call to a provider gave back."""

    id: str = ""
    model: str = ""
    service_tier: str = ""
    region: str = ""
    choices: dict[int, Choice] = field(default_factory=dict[int, Choice])
    usage: Usage | None = None
    error: dict[str, Any] | None = None
    ended: bool = False  # the provider said that the answer is complete
    whole: dict[str, Any] | None = None  # the whole body, where the stream's last event repeats it

    def choice(self, index: int = 0) -> Choice:
        """The choice with this index, made when it is new."""
        found = self.choices.get(index)
        if found is None:
            found = self.choices[index] = Choice()
        return found

    @property
    def finish_reasons(self) -> list[str]:
        """Why each choice ended, in order; empty strings are left out."""
        return [c.finish_reason for _, c in sorted(self.choices.items()) if c.finish_reason]

    @property
    def finished(self) -> bool:
        """Whether the answer is whole: the provider said so, or every choice gave its reason to end."""
        return self.ended or bool(self.choices and all(c.finish_reason for c in self.choices.values()))

    @property
    def characters(self) -> int:
        """How much was generated so far, for an estimate of tokens."""
        return sum(
            len(piece)
            for choice in self.choices.values()
            for pieces in (
                choice.text,
                choice.reasoning,
                choice.refusal,
                *(call.arguments for call in choice.tool_calls.values()),
            )
            for piece in pieces
        )

    def messages(self) -> list[dict[str, Any]]:
        """The answer as OpenTelemetry's output messages."""
        return [_message(choice) for _, choice in sorted(self.choices.items())]


def _message(choice: Choice) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if choice.reasoning:
        parts.append({"type": "reasoning", "content": "".join(choice.reasoning)})
    if choice.text:
        parts.append({"type": "text", "content": "".join(choice.text)})
    if choice.refusal:
        parts.append({"type": "refusal", "content": "".join(choice.refusal)})
    for _, call in sorted(choice.tool_calls.items()):
        arguments = "".join(call.arguments)
        parts.append({"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments})
    message: dict[str, Any] = {"role": "assistant", "parts": parts}
    if choice.finish_reason:
        message["finish_reason"] = choice.finish_reason
    return message
