"""Embeddings: texts or token ids in, unit vectors out that are near when the words are the same."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterator
from typing import Any

from spanledger.testing.model_server import openai_errors as errors
from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.jsons import Json, is_count, json_type
from spanledger.testing.model_server.protocol import Event, Problem
from spanledger.testing.model_server.reply import Ask, Reply
from spanledger.testing.model_server.tokens import count

DEFAULT_DIMENSIONS = 256


class Embeddings:
    """``POST /v1/embeddings``."""

    def check(self, body: Json) -> Problem | None:
        """The first fault of the body."""
        given = body.get("input")
        if given is None:
            return errors.missing("input")
        if not isinstance(given, str | list):
            return errors.wrong_type("input", "a string or an array", json_type(given))
        if not given:
            return errors.wrong_value("input", "cannot be empty.")
        if body.get("encoding_format") not in (None, "float", "base64"):
            return errors.wrong_value("encoding_format", "Supported values are: 'float' and 'base64'.")
        if body.get("dimensions") is not None and not is_count(body["dimensions"]):
            return errors.wrong_value("dimensions", "must be an integer of at least 1.")
        return None

    def texts(self, body: Json) -> tuple[str, str]:
        """All inputs as one text, twice: an embedding has no question."""
        text = "\n".join(_inputs(body))
        return text, text

    def ask(self, body: Json) -> Ask:
        """Only the tokens count."""
        return Ask(prompt_tokens=sum(_tokens(item) for item in _items(body)), max_tokens=0)

    def whole(self, reply: Reply, body: Json) -> Json:
        """A ``list`` of embeddings, as floats or in base64 as the openai client asks for."""
        size = body.get("dimensions") or DEFAULT_DIMENSIONS
        packed = body.get("encoding_format") == "base64"
        data: list[Json] = []
        for index, text in enumerate(_inputs(body)):
            floats = vector(text, size)
            shown = base64.b64encode(struct.pack(f"<{size}f", *floats)).decode() if packed else floats
            data.append({"object": "embedding", "index": index, "embedding": shown})
        answer: Json = {"object": "list", "data": data, "model": reply.model}
        if reply.behaviour.usage:
            answer["usage"] = {"prompt_tokens": reply.usage.prompt, "total_tokens": reply.usage.prompt}
        return answer

    def events(self, reply: Reply, body: Json) -> Iterator[Event]:
        """Embeddings do not stream."""
        return iter(())

    def error(self, problem: Problem, behaviour: Behaviour) -> Json:
        """OpenAI's error body."""
        return errors.error(problem, behaviour)

    def error_event(self, behaviour: Behaviour) -> bytes:
        """Never sent; embeddings do not stream."""
        return errors.error_event(behaviour)


def vector(text: str, size: int) -> list[float]:
    """A unit vector of a text's words, by feature hashing; the same in every process."""
    values = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        values[int.from_bytes(digest[:7], "little") % size] += 1.0 if digest[7] & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in values))
    if norm == 0.0:  # two words cancelled each other
        values[0], norm = 1.0, 1.0
    return [value / norm for value in values]


def _items(body: Json) -> list[Any]:
    given: Any = body["input"]
    if isinstance(given, str) or isinstance(given[0], int):
        return [given]
    return given


def _inputs(body: Json) -> list[str]:
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in _items(body)]


def _tokens(item: Any) -> int:
    return count(item) if isinstance(item, str) else len(item)
