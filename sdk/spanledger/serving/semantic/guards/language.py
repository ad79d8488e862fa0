"""A text in; its script and its language out, as far as its small words tell."""

from __future__ import annotations

import re
import unicodedata

from spanledger.serving.semantic.guards import lexicon
from spanledger.serving.semantic.guards import vocabulary as words

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Letters that only some languages write.
_LETTERS = (("ß", "de"), ("ñ¿¡", "es"), ("ãõ", "pt"), ("œ", "fr"))


def script(text: str) -> str:
    """The writing systems of a text's letters, sorted: ``LATIN``, ``CJK``, ``CYRILLIC`` and so on."""
    scripts = {_script_of(letter) for letter in text if letter.isalpha() and not letter.isascii()}
    if any(letter.isascii() and letter.isalpha() for letter in text):
        scripts.add("LATIN")
    return " ".join(sorted(scripts))


def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA", "CJK") else name


def detect(text: str) -> str:
    """``en``, ``de``, ``fr``, ``es``, ``it``, ``pt`` or ``nl``; empty where it is another or cannot be told."""
    if script(text).replace("LATIN", "").strip():
        return ""
    text = text.replace("’", "'")
    pieces = [word for match in _WORD.findall(text) for word in match.split("'")]
    # A name may be a small word elsewhere: Ben, Will, Mai.
    found = [word.casefold() for place, word in enumerate(pieces) if not place or word[:1].islower()]
    low = text.casefold()
    scores = {
        name: sum(
            min(2.0, len(word) / 2) for word in found if word in vocabulary or word in words.NEGATORS[name]
        )
        for name, vocabulary in words.FUNCTION.items()
    }
    for letters, name in _LETTERS:
        scores[name] += sum(letter in low for letter in letters) * 2
    english = lexicon.english()
    known = sum(
        english.knows(word) or english.knows(lexicon.base(word))
        for word in found
        if len(word) > 3 and word not in words.FUNCTION["en"]
    )
    scores["en"] += known / 2
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= 1.0:
        return best
    return "en" if not found else ""
