"""What a protocol must know: to check a request, to read it, to answer it whole or in events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.jsons import Json
from spanledger.testing.model_server.reply import Ask, Reply


class Event(NamedTuple):
    """One server-sent event; ``content`` ones are paced and counted."""

    data: bytes
    content: bool = False


class Problem(NamedTuple):
    """Why a request is refused, before a protocol puts it in its own words."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None


class Endpoint(Protocol):
    """One protocol's endpoint."""

    def check(self, body: Json) -> Problem | None:
        """Why this body is not a valid request, or None."""
        ...

    def texts(self, body: Json) -> tuple[str, str]:
        """The whole prompt as text, and the last user message."""
        ...

    def ask(self, body: Json) -> Ask:
        """What the body asks for."""
        ...

    def whole(self, reply: Reply, body: Json) -> Json:
        """The answer in one piece."""
        ...

    def events(self, reply: Reply, body: Json) -> Iterator[Event]:
        """The answer as server-sent events."""
        ...

    def error(self, problem: Problem, behaviour: Behaviour) -> Json:
        """A refusal in the protocol's shape."""
        ...

    def error_event(self, behaviour: Behaviour) -> bytes:
        """An error in the middle of a stream."""
        ...


def sse(payload: Mapping[str, Any], event: str = "") -> bytes:
    """One server-sent event on the wire."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(payload) + b"\n\n"
