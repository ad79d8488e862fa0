"""Numbers, however they are written: digits, words, ordinals, Roman figures."""

from __future__ import annotations

import re

from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.token import Token

_NUMBER = re.compile(
    r"([$€£¥]?)([+-]?\d[\d.,:/'’_-]*\d|\d)(?:(st|nd|rd|th|er|e|ème|º|ª|te|ten)|([a-zµ°%$€£¥]{1,5}))?", re.I
)


def read(chunk: str, low: str, before: list[Token], language: str) -> list[Token] | None:
    """The number (and its unit) that a word is; empty where it belongs to the one before; None for other words."""
    if language == "en" and low in _NUMBERS_ELSEWHERE:
        return None
    match = _NUMBER.fullmatch(low)
    if match is not None:
        return _digits(match)
    previous = before[-1] if before else None
    after_number = previous is not None and previous.kind == "number"
    if low in words.SCALES and after_number and previous is not None:
        previous.key = _scaled(previous.key, words.SCALES[low])
        return []
    if low in words.SCALES and low not in ("cent", "mille", "mil"):
        return [Token("number", str(words.SCALES[low]), low)]
    if low == "second":
        is_unit = after_number or (previous is not None and previous.low in ("per", "a", "one"))
        return [Token("unit", "secondtime", low)] if is_unit else [Token("number", "2", low)]
    if low == "one" and previous is not None and previous.low in _ONE_IS_PRONOUN:
        return [Token("function", low, low)]
    if low in words.NUMBERS:
        return _counted(words.NUMBERS[low], low, previous)
    if low in words.ROMAN and chunk.isupper():
        return [Token("number", str(words.ROMAN[low]), low)]
    if chunk in ("I", "V", "X") and previous is not None and previous.kind == "name":
        return [Token("number", {"I": "1", "V": "5", "X": "10"}[chunk], low)]
    return None


_NUMBERS_ELSEWHERE = words.of("due elf seize quince cent mil mille six-pack")  # words of English too
_ONE_IS_PRONOUN = words.of("which this that the other no each another any every good best new old")


def _counted(value: int, low: str, previous: Token | None) -> list[Token]:
    """Number words; "twenty five" is one number, "two hundred and five" is left as its parts."""
    is_tail = previous is not None and previous.kind == "number" and previous.low in words.NUMBERS
    if (
        is_tail
        and previous is not None
        and value < 10
        and int(previous.key) % 10 == 0
        and int(previous.key) >= 20
    ):
        previous.key = str(int(previous.key) + value)
        return []
    return [Token("number", str(value), low)]


def _digits(match: re.Match[str]) -> list[Token]:
    symbol, digits, _, unit = match.groups()
    unit = (unit or "").casefold()
    value = plain_number(digits)
    tokens: list[Token] = []
    if unit in words.SCALES or unit == "k":
        value, unit = _scaled(value, 1000 if unit == "k" else words.SCALES[unit]), ""
    tokens.append(Token("number", value, digits))
    if symbol:
        tokens.append(Token("unit", words.UNITS[symbol], symbol))
    if unit:
        known = words.UNITS.get(unit) or words.LETTER_UNITS.get(unit)
        if known is None and unit == "min":
            known = "minute"
        tokens.append(Token("unit", known, unit) if known else Token("code", unit, unit))
    return tokens


def plain_number(digits: str) -> str:
    """Digits as they are compared: separators of thousands gone, a decimal comma a point."""
    digits = digits.replace("'", "").replace("’", "").replace("_", "").lstrip("+")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", digits):
        return digits.replace(",", "")
    if re.fullmatch(r"-?\d{1,3}(\.\d{3})+(,\d+)?", digits) and digits.count(".") + digits.count(",") > 1:
        return digits.replace(".", "").replace(",", ".")
    if re.fullmatch(r"-?\d+,\d+", digits):
        return digits.replace(",", ".")
    return digits


def _scaled(value: str, scale: int) -> str:
    try:
        return f"{float(value) * scale:.12g}"
    except ValueError:
        return f"{value}*{scale}"
