"""Words and sentences of a text, for the scorers that need no model."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['\u2019.,][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_SUFFIXES = ("ingly", "edly", "ing", "ed", "es", "s", "ly")
_SHORTEST_STEM = 4

# Function words carry no claim; the last row is how answers refer to their sources.
_STOP_WORDS = """
a an and are as at be been being but by can could did do does for from had has have he her his how i if in into
is it its may might more most no not of on or our she should so some such than that the their them then there
these they this those to was we were what when where which who will with would you your also however therefore
based given provided passage passages context information according
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def sentences(text: str) -> list[str]:
    """The non-blank sentences and lines of a text."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def words(text: str) -> list[str]:
    """Lower-case words and numbers in order; ``1,129.5`` and ``don't`` stay whole."""
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """The word without its commonest English ending; other languages pass unchanged for the most part."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            return word[: -len(suffix)]
    return word


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
