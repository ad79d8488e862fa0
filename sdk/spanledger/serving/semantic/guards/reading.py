"""A question in; everything that the guards compare out, read once."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from spanledger.serving.semantic.guards import asking, language, lexicon
from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.phrases import normalise
from spanledger.serving.semantic.guards.token import Token
from spanledger.serving.semantic.guards.tokens import tokenize

_ENDS = ".,;:!?\"'“”„‘’«»¿¡…。、"
_ENDINGS = {
    "de": ("ungen", "ung", "est", "ern", "en", "er", "es", "em", "et", "st", "te", "e", "n", "s", "t"),
    "fr": ("aient", "ées", "ée", "és", "er", "ez", "ent", "es", "s", "e", "é"),
    "es": ("iendo", "ando", "ar", "er", "ir", "as", "os", "es", "an", "en", "a", "o", "e", "s"),
    "it": ("are", "ere", "ire", "a", "e", "i", "o"),
    "pt": ("ando", "ar", "er", "ir", "as", "os", "es", "a", "o", "e", "s"),
    "nl": ("en", "t", "e", "s"),
}


@dataclass(slots=True)
class Reading:
    """One question as the guards see it."""

    text: str
    script: str
    language: str
    tokens: list[Token] = field(default_factory=list[Token])
    asked: asking.Asked = field(default_factory=asking.Asked)
    plain: str = ""  # letters and digits only; of a language nobody here can read, all but spaces and edges

    def keys(self, kind: str) -> list[str]:
        """What the tokens of a kind are compared by, in order."""
        return [token.key for token in self.tokens if token.kind == kind]


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """Read a question; the same text is read once."""
    told = language.detect(text)
    reading = Reading(text, language.script(text), told)
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not told:
        reading.plain = "".join(folded.split()).strip(_ENDS)
        return reading
    reading.plain = "".join(c for c in folded if c.isalnum())
    reading.tokens = tokenize(text, told)
    for token in reading.tokens:
        if token.kind == "word":
            token.key = _base(token.low, told)
    if told == "en":
        reading.asked = asking.of(normalise(text).casefold(), reading.tokens)
    return reading


def _base(low: str, told: str) -> str:
    if told == "en":
        return lexicon.base(low)
    plain = "".join(c for c in unicodedata.normalize("NFD", low) if not unicodedata.combining(c))
    for ending in _ENDINGS[told]:
        if plain.endswith(ending) and len(plain) - len(ending) >= 4:
            return plain[: -len(ending)]
    return plain


def is_soft(token: Token) -> bool:
    """Whether a word says little enough that only one of two questions may have it."""
    return token.kind == "word" and (token.key in words.SOFT or token.low in words.SOFT)


def is_light(token: Token) -> bool:
    """Whether it is a verb with little meaning of its own."""
    return token.kind == "word" and token.key in words.LIGHT_WORDS
