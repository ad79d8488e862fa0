"""A caller's request body in, what serving must know of it out.

Only what decides something is read; everything else stays in the body and goes to the provider as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from spanledger.serving.protocols.values import Json, integer, obj, text

Endpoint = Literal["chat", "responses", "messages", "embeddings"]
"""Which API the caller speaks."""

Wire = Endpoint
"""Which API a provider is asked in; differs from the caller's when the call is translated."""

IMAGE_TOKENS = 1600
"""What one image counts in a reservation: above what current vision models charge for a usual image."""

DEFAULT_OUTPUT_TOKENS = 1024
"""What a reservation assumes for an answer without a limit, until answers of its kind were seen."""

_READ_BY_THE_MODEL = ("messages", "input", "system", "instructions", "tools")
_MEDIA = frozenset({"data", "url", "image_url", "file_data", "file_id", "input_audio", "audio", "b64_json"})


class BadRequestError(ValueError):
    """The request can never be served; the message tells the caller what to change."""


@dataclass(slots=True)
class Ask:
    """One parsed request. ``raw`` are the bytes as they came; ``body`` is their JSON object."""

    endpoint: Endpoint
    raw: bytes
    body: Json
    model: str
    stream: bool = False
    max_tokens: int | None = None
    n: int = 1
    _size: tuple[int, int] | None = None

    @property
    def wants_stream_usage(self) -> bool:
        """Whether the caller itself asked for a usage chunk in a chat stream."""
        return obj(self.body.get("stream_options")).get("include_usage") is True

    @property
    def prompt(self) -> Any:
        """What the model is asked: messages, input items, or texts to embed."""
        return self.body.get("messages") if self.endpoint in ("chat", "messages") else self.body.get("input")

    @property
    def system(self) -> Any:
        """Instructions that stand beside the messages; None where there are none."""
        if self.endpoint == "messages":
            return self.body.get("system")
        return self.body.get("instructions") if self.endpoint == "responses" else None

    @property
    def user(self) -> str:
        """The end user that the body names, in either API's field; empty if none."""
        return text(self.body.get("user")) or text(obj(self.body.get("metadata")).get("user_id"))

    @property
    def size(self) -> tuple[int, int]:
        """(bytes of text, images) of everything the model reads; measured once."""
        if self._size is None:
            self._size = _measured([self.body[name] for name in _READ_BY_THE_MODEL if name in self.body])
        return self._size


def parse(endpoint: Endpoint, raw: bytes) -> Ask:
    """Read a request body.

    Raises:
        BadRequestError: the body is no JSON object, or a field that decides the call has the wrong type.
    """
    try:
        decoded: object = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise BadRequestError(f"the body is not valid JSON: {wrong}") from None
    if not isinstance(decoded, dict):
        raise BadRequestError("the body must be a JSON object")
    body = cast(Json, decoded)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("'model' must be a string that names a route")
    stream = body.get("stream")
    if stream not in (None, True, False):
        raise BadRequestError("'stream' must be a boolean")
    _check_prompt(endpoint, body)
    return Ask(endpoint, raw, body, model, bool(stream), _max_tokens(body), _count(body))


def _check_prompt(endpoint: Endpoint, body: Json) -> None:
    if endpoint in ("chat", "messages"):
        if not isinstance(body.get("messages"), list):
            raise BadRequestError("'messages' must be a list")
    elif endpoint == "embeddings" and not isinstance(body.get("input"), (str, list)):
        raise BadRequestError("'input' must be a string or a list")


def _max_tokens(body: Json) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        limit = integer(value)
        if limit is None or limit < 0:
            raise BadRequestError(f"{name!r} must be a whole number of tokens, 0 or more")
        return limit
    return None


def _count(body: Json) -> int:
    value = body.get("n")
    if value is None:
        return 1
    count = integer(value)
    if count is None or count < 1:
        raise BadRequestError("'n' must be a whole number, 1 or more")
    return count


def most_input_tokens(ask: Ask) -> int:
    """An upper estimate of the prompt's tokens, for a reservation.

    One token for three bytes of text (tokenisers need about four of English, one for three of Chinese),
    tool definitions included, and ``IMAGE_TOKENS`` for each image.
    """
    size, images = ask.size
    return -(-size // 3) + images * IMAGE_TOKENS + 16


def likely_input_tokens(ask: Ask) -> int:
    """A plain estimate of the prompt's tokens, for a call whose provider told no usage."""
    size, images = ask.size
    return -(-size // 4) + images * IMAGE_TOKENS


def likely_output_tokens(characters: int) -> int:
    """A plain estimate of generated tokens: four characters each."""
    return -(-characters // 4)


def most_output_tokens(ask: Ask, unlimited: int = DEFAULT_OUTPUT_TOKENS) -> int:
    """The most tokens the answer may have, over all its choices; ``unlimited`` where no limit is set."""
    if ask.endpoint == "embeddings":
        return 0
    return (unlimited if ask.max_tokens is None else ask.max_tokens) * ask.n


def _measured(stack: list[Any]) -> tuple[int, int]:
    """(bytes of text, images, files and recordings) of values, which are taken off the list."""
    size = images = 0
    while stack:
        item: Any = stack.pop()
        if isinstance(item, str):
            size += len(item) if item.isascii() else len(item.encode("utf-8", "surrogatepass"))
        elif isinstance(item, list):
            stack += cast(list[Any], item)
        elif isinstance(item, dict):
            for name, inner in obj(item).items():
                if name in _MEDIA:
                    images += 1
                elif name not in ("role", "type"):
                    stack.append(inner)
        elif isinstance(item, int):
            size += 3  # a token id in an embeddings request
    return size, images
