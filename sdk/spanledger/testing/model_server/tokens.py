"""Plausible tokens: a text in, the pieces it would be streamed in out. Joined, they are the text."""

from __future__ import annotations

import re
import zlib
from typing import Any

from spanledger.testing.model_server.jsons import objects

# About four characters a token on English prose, as byte-pair encoders give.
_PIECE = re.compile(r" ?[^\W\d_]{1,6}| ?\d{1,3}| ?[^\w\s]|_|\s+", re.UNICODE)
MESSAGE_TOKENS = 4  # role and separators of one chat message
PRIMING_TOKENS = 3  # what opens the assistant's turn
IMAGE_TOKENS = 85
BLOCK_TOKENS = 16  # vLLM's default block size


def pieces(text: str) -> list[str]:
    """The tokens of a text, in order; ``"".join`` of them is the text."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(pieces(text))


def message_text(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts of any provider's shape."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part["text"]) for part in objects(content) if "text" in part)


def message_tokens(messages: list[dict[str, Any]]) -> int:
    """The prompt tokens of a list of chat messages."""
    return PRIMING_TOKENS + sum(MESSAGE_TOKENS + _content_tokens(m.get("content")) for m in messages)


def _content_tokens(content: Any) -> int:
    images = sum("image" in str(part.get("type", "")) for part in objects(content))
    return count(message_text(content)) + images * IMAGE_TOKENS


class PrefixCache:
    """A prefix cache as vLLM keeps it: whole blocks, found by what stands before them."""

    def __init__(self, blocks: int = 65_536) -> None:
        self._blocks = blocks
        self._seen: dict[int, None] = {}

    def look_up(self, prompt: str) -> int:
        """Tokens of this prompt that an earlier prompt computed; remembers this prompt too."""
        tokens = pieces(prompt)
        cached, crc, unbroken = 0, 0, True
        for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            crc = zlib.crc32("".join(tokens[start : start + BLOCK_TOKENS]).encode(), crc)
            unbroken = unbroken and crc in self._seen
            cached += BLOCK_TOKENS if unbroken else 0
            self._seen.pop(crc, None)
            self._seen[crc] = None
        while len(self._seen) > self._blocks:
            self._seen.pop(next(iter(self._seen)))
        # The last token is always computed, since its logits are the answer's start.
        return min(cached, max(0, len(tokens) - 1) // BLOCK_TOKENS * BLOCK_TOKENS)
