"""A provider's stream in any cut of bytes, the caller's stream out, and the answer gathered on the way.

Events pass byte for byte. Taken out is only what the gateway asked for and the caller did not (usage);
added is only the in-band error that tells of a cut. Nothing after a cut may look like a good end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import orjson

from spanledger.serving import sse
from spanledger.serving.answers import Answer, EventKind
from spanledger.serving.asks import Endpoint, Wire
from spanledger.serving.protocols import chat, messages, responses
from spanledger.serving.protocols.values import Json
from spanledger.serving.translate.common import StreamTranslator

Read = Callable[[Answer, Json], EventKind]

READ_EVENT: dict[Wire, Read] = {
    "chat": chat.read_event,
    "messages": messages.read_event,
    "responses": responses.read_event,
}
READ_BODY: dict[Wire, Callable[[Json], Answer]] = {
    "chat": chat.read_body,
    "messages": messages.read_body,
    "responses": responses.read_body,
    "embeddings": chat.read_body,
}

# In a JSON text a quote inside a string is escaped, so this finds a member and never a part of a string.
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,')


class BrokenStreamError(Exception):
    """The provider's stream cannot go on; the message says why.

    ``pending`` holds the caller's bytes of whole events that came just before.
    """

    pending: bytes = b""


class Relay:
    """One stream on its way from provider to caller; without a translator both speak the same API."""

    def __init__(
        self,
        wire: Wire,
        *,
        strip_usage: bool = False,
        strip_running_usage: bool = False,
        translator: StreamTranslator | None = None,
    ) -> None:
        """``strip_usage``: the caller asked for no usage; ``strip_running_usage``: it did not ask for that of each chunk."""
        self.answer = Answer()
        self.started = False
        """Whether the first content event was seen; until then nothing may be sent to the caller."""
        self._read = READ_EVENT[wire]
        self._strip_usage = strip_usage
        self._strip_running = strip_running_usage
        self._translator = translator
        self._told_end = False
        self._splitter = sse.EventSplitter()

    def feed(self, data: bytes) -> bytes:
        """The caller's bytes for these bytes of the provider.

        Raises:
            BrokenStreamError: the provider reported an error, or sent what is no event of its API.
        """
        events = self._splitter.feed(data)
        if len(events) == 1:
            return self._event(events[0])
        out: list[bytes] = []
        try:
            for event in events:
                out.append(self._event(event))
        except BrokenStreamError as broken:
            broken.pending = b"".join(out)
            raise
        return b"".join(out)

    def close(self) -> bytes:
        """The caller's bytes at the provider's clean end.

        Raises:
            BrokenStreamError: the answer is not whole.
        """
        rest = self._splitter.rest
        out = b""
        if rest.strip():
            self._splitter.rest = b""
            out = self._event(rest + b"\n\n")  # some servers leave out the last blank line
        if not self.answer.finished:
            raise BrokenStreamError("the provider ended the stream before the answer was complete")
        return out + self._end()

    def _event(self, event: bytes) -> bytes:
        data = sse.data_of(event)
        if not data:
            return event if self._translator is None else b""
        if data == b"[DONE]":
            self.answer.ended = True
            return event if self._translator is None else self._end()
        parsed = _object(data)
        kind = self._read(self.answer, parsed)
        if kind == "error":
            raise BrokenStreamError(_message(self.answer.error))
        if kind == "content":
            self.started = True
        if self._translator is None:
            return self._pass_on(event, parsed, kind)
        return self._translator.event(parsed) + (self._end() if self.answer.ended else b"")

    def _end(self) -> bytes:
        if self._translator is None or self._told_end:
            return b""
        self._told_end = True
        return self._translator.done()

    def _pass_on(self, event: bytes, parsed: Json, kind: EventKind) -> bytes:
        if "usage" not in parsed or not (self._strip_usage or self._strip_running):
            return event
        if kind == "usage":
            return b"" if self._strip_usage else event
        if parsed["usage"] is None:
            return _NULL_USAGE.sub(b"", event, count=1) if self._strip_usage else event
        return self._without_running(event, parsed) if self._strip_running else event

    def _without_running(self, event: bytes, parsed: Json) -> bytes:
        """The chunk as it would have come had the gateway not asked for the usage so far."""
        if self._strip_usage:
            del parsed["usage"]
        else:
            parsed["usage"] = None
        return sse.event(parsed)


def _object(data: bytes) -> Json:
    try:
        parsed: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BrokenStreamError("the provider sent an event that is not JSON") from None
    if not isinstance(parsed, dict):
        raise BrokenStreamError("the provider sent an event that is no object")
    return cast(Json, parsed)


def _message(error: dict[str, Any] | None) -> str:
    return str((error or {}).get("message") or "the provider reported an error")[:2000]


def cut_event(endpoint: Endpoint, message: str) -> bytes:
    """The in-band error that ends a stream after its first content, in the caller's API."""
    error = {"message": message, "type": "upstream_error", "param": None, "code": "stream_cut"}
    match endpoint:
        case "messages":
            return sse.event({"type": "error", "error": {"type": "api_error", "message": message}}, "error")
        case "responses":
            return sse.event(
                {"type": "error", "code": "stream_cut", "message": message, "error": error}, "error"
            )
        case _:
            return sse.event({"error": error})
