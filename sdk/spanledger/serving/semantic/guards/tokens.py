"""A question's text in, its tokens out: what each word is there for.

Nothing is compared here. `reading` gathers what the guards compare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from spanledger.serving.semantic.guards import lexicon, numbers, units
from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.phrases import normalise
from spanledger.serving.semantic.guards.token import Token

_EDGES = ".,;:!?\"'“”„‘’«»¿¡…"
_CODE = re.compile(
    r"\w_\w|\(\)|\w\(|::|->|=>|[=<>^*+|\\~{}@#]|^--?[a-zA-Z]|\w\.[a-zA-Z]{2,}|[a-z][A-Z]|^[./]\w|\w/\w.*/"
    r"|^[A-Za-z]+-?\d+[\w-]*$|^\d+[A-Za-z]\w*[A-Z0-9]\w*$|^`|^\$\w|^<|^!="
)
_ABBREVIATIONS = frozenset(
    {"e.g", "i.e", "a.m", "p.m", "u.s", "u.k", "a.k.a", "etc", "dr", "mr", "mrs", "vs"}
)
_PREPOSITIONS: dict[str, dict[str, str]] = {
    language: {word: role for role, group in roles.items() for word in group.split()}
    for language, roles in {
        "en": {
            **{word: word for word in ["from", "than", "of", "for", "with", "by", "in", "on", "at", "about", "against", "after", "before", "without", "over"]},
            **{word: word for word in ["under", "as", "like", "behind", "via", "between", "instead"]},
            "to": "to into onto toward towards",
        },
        "de": {"from": "von vom aus", "to": "nach zu zum zur", "than": "als", "with": "mit", "for": "für", "in": "in im"},
        "fr": {"from": "depuis", "of": "de du d des", "to": "à au aux vers", "than": "que", "with": "avec", "for": "pour"},
        "es": {"from": "desde", "of": "de del", "to": "a al hacia hasta", "than": "que", "with": "con", "for": "para por"},
        "it": {"from": "da dal dalla", "of": "di del della", "to": "a al alla", "than": "che", "with": "con", "for": "per"},
        "pt": {"from": "desde", "of": "de do da", "to": "a ao para até", "than": "que", "with": "com", "for": "por"},
        "nl": {"from": "van uit", "to": "naar", "than": "dan", "with": "met", "for": "voor", "in": "in"},
    }.items()
}  # fmt: skip


def tokenize(text: str, language: str) -> list[Token]:
    """The tokens of a question in one of the languages of `vocabulary`."""
    chunks = list(_chunks(normalise(text)))
    alphabetic = [chunk for chunk, _ in chunks if chunk[:1].isalpha()]
    capitals = sum(chunk[0].isupper() for chunk in alphabetic)
    is_shouting = len(alphabetic) > 3 and capitals > 0.7 * len(alphabetic)
    marks_names = language != "de" and not is_shouting
    tokens: list[Token] = []
    marker = ""
    for chunk, first in chunks:
        for token in _read(chunk, first, tokens, language, marks_names):
            token.is_first, token.is_capital, token.place = first, chunk[:1].isupper(), len(tokens)
            governs = _marker(token.low, language) if token.kind in ("function", "weighty", "negator") else ""
            if governs:
                is_instead = bool(tokens) and tokens[-1].low == "instead"
                marker = "instead" if is_instead else governs
            elif token.kind == "function" and token.low not in _TRANSPARENT:
                marker = ""
            elif token.kind not in ("function", "weighty", "negator"):
                if marker == "to" and language == "en" and _is_infinitive(token, tokens):
                    marker = ""
                token.marker = marker
            tokens.append(token)
    if language in ("de", "nl") and tokens and tokens[-1].low in _SEPARABLE:
        tokens[-1].kind = "weighty"  # a verb's second half: "an" and "aus" make opposites
    return tokens


_SEPARABLE = words.of("an aus auf zu ab ein vor nach aan uit op af in dicht open toe")


_TRANSPARENT = words.FUNCTION["en"] & words.of(
    "a an the this that these those my your his its our their some any very own and or"
)


_TURNS = words.of("convert cast turn transform translate migrate parse coerce")


def _is_infinitive(token: Token, before: list[Token]) -> bool:
    """Whether the "to" right before a word makes a verb of it, and does not lead somewhere."""
    if token.kind != "word" or before[-1].low != "to":
        return False
    if any(other.low == "from" or lexicon.base(other.low) in _TURNS for other in before):
        return False
    return "v" in lexicon.english().kinds(token.low)


def _marker(low: str, language: str) -> str:
    """The role that a preposition gives to what follows it; empty for other words."""
    return _PREPOSITIONS.get(language, {}).get(low, "")


def _chunks(text: str) -> Iterator[tuple[str, bool]]:
    """Words as they stand between spaces, without what surrounds them; whether one begins a sentence."""
    first = True
    for raw in text.split():
        chunk = raw.strip(_EDGES)
        if chunk and not any(mark in chunk for mark in "({[") and chunk[-1] in ")]}":
            chunk = chunk.rstrip(")]}").strip(_EDGES)
        if chunk[:1] in "([{" and not chunk.endswith(("]", "}", ")")):
            chunk = chunk.lstrip("([{").strip(_EDGES)
        if chunk[:1] == "(" and chunk.endswith(")"):
            chunk = chunk[1:-1].strip(_EDGES)
        if chunk and chunk not in ("-", "–", "—", "&"):
            yield chunk, first
        first = raw.endswith((".", "!", "?", ":")) and not _is_abbreviation(raw)


def _is_abbreviation(raw: str) -> bool:
    return raw.rstrip(".").casefold() in _ABBREVIATIONS or (len(raw) == 2 and raw[0].isupper())


def _read(chunk: str, first: bool, before: list[Token], language: str, marks_names: bool) -> Iterator[Token]:
    low = chunk.casefold()
    if low.endswith(("'s", "s'")) and low[0].isalpha():
        owner = low.removesuffix("'s").removesuffix("'")
        for token in _read(chunk[: len(owner)], first, before, language, marks_names):
            token.is_possessor = True
            yield token
        return
    if (found := numbers.read(chunk, low, before, language)) is not None:
        yield from found
    elif low in words.UNITS and "/" in low:
        yield Token("unit", words.UNITS[low], low)
    elif _is_code(chunk, low):
        yield Token("code", code_key(chunk), low)
    elif len(parts := [part for part in re.split(r"[-/]", chunk) if part]) > 1 and low not in _KNOWN_WHOLE:
        for place, part in enumerate(parts):
            yield from _read(part, first and place == 0, before, language, marks_names)
    elif "'" in chunk and language in ("fr", "it") and not chunk.endswith("'"):
        head, _, tail = chunk.partition("'")
        yield Token("function", head.casefold(), head.casefold())
        yield from _read(tail, False, before, language, marks_names)
    else:
        yield _word(chunk, low, first, before, language, marks_names)


_KNOWN_WHOLE = frozenset(words.WEIGHTY) | frozenset(words.DATES)


def _is_code(chunk: str, low: str) -> bool:
    if low in _ABBREVIATIONS or low in words.UNITS or "aujourd'hui" in low:
        return False
    return (bool(_CODE.search(chunk)) and not chunk.startswith(("$", "€", "£"))) or not any(
        c.isalnum() for c in chunk
    )


def code_key(chunk: str) -> str:
    """An identifier as it is compared: without call brackets and quotes; flags keep their case."""
    key = chunk.strip("`\"'").removesuffix("()")
    return key if key.startswith("-") or len(key) <= 2 else key.casefold()


def _word(chunk: str, low: str, first: bool, before: list[Token], language: str, marks_names: bool) -> Token:
    previous = before[-1] if before else None
    if low in words.NEGATORS.get(language, ()):
        return Token("negator", low, low)
    if (date := units.date(chunk, low, first, previous)) is not None:
        return date
    if (unit := units.unit(low, previous)) is not None:
        return unit
    if low in words.WEIGHTY and not (low in ("first",) and not before):
        return Token("weighty", words.WEIGHTY[low], low)
    if chunk in _LETTERS and not first:
        return Token("name", low, low)
    if low in words.FUNCTION.get(language, ()) and not (len(chunk) > 1 and chunk.isupper()):
        return Token("function", low, low)
    is_acronym = chunk.isupper() and len(chunk) > 1
    is_name = chunk[0].isupper() and not first
    if marks_names and (is_name or is_acronym):
        return Token("name", low, low)
    return Token("word", low, low)


_LETTERS = frozenset("ABCDEFGHJKLMNOPQRSTUVWXYZ")
