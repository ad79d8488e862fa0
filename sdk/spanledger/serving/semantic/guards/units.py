"""Units, currencies, days, months and periods."""

from __future__ import annotations

from spanledger.serving.semantic.guards import vocabulary as words
from spanledger.serving.semantic.guards.token import Token

_PERIODS = words.of("hour minute day week month year")
_ALSO_WORDS = words.of("am foot yard mi quid tons meter")


def date(chunk: str, low: str, first: bool, previous: Token | None) -> Token | None:
    """A day, a month or a word that names a period from now."""
    if low in ("may", "march", "mar", "mon", "sun", "sat", "jan", "sep", "dec", "fri"):
        is_month = (chunk[0].isupper() and not first) or (previous is not None and previous.kind == "number")
        return Token("date", low[:3], low) if is_month else None
    key = words.DATES.get(low)
    if key in ("next", "last") and previous is not None and low == "last":
        return Token("date", key, low)
    if (
        low in words.PERIODS
        and previous is not None
        and previous.low in ("this", "diese", "cette", "esta", "dieses")
    ):
        previous.kind, previous.key = "date", "this"
        return None
    return Token("date", key, low) if key else None


def unit(low: str, previous: Token | None) -> Token | None:
    """A unit or a currency; single letters and periods of time only behind a number."""
    after_number = previous is not None and (
        previous.kind == "number" or previous.low in ("per", "pro", "par")
    )
    if (
        low in "mshlgwfc"
        and low in words.LETTER_UNITS
        and previous is not None
        and (after_number or previous.low == "in")
    ):
        return Token("unit", words.LETTER_UNITS[low], low)
    unit = words.UNITS.get(low)
    if unit is None:
        return Token("unit", "minute", low) if low == "min" and after_number else None
    needs_number = low in _ALSO_WORDS or unit in _PERIODS
    return Token("unit", unit, low) if after_number or not needs_number else None
