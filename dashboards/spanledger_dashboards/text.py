"""Numbers in, text for people out: money, times, counts, ages. None is an en dash, never 0."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

NONE = "\u2013"
MINUS = "\u2212"
_BIDI = {
    chr(code): f"⟨U+{code:04X}⟩"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}


def money(amount: Decimal | None, currency: str = "USD", *, digits: int | None = None) -> str:
    """An amount: hundredths from one unit up, and below it as many digits as it takes to show two that count."""
    if amount is None:
        return NONE
    if digits is None:
        digits = 2 if abs(amount) >= 1 or amount == 0 else min(9, max(2, 1 - amount.adjusted()))
    rounded = amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{symbol(currency)}{abs(rounded):,f}"


def symbol(currency: str) -> str:
    """What stands before an amount: ``$``, or the currency's code with a space that does not break."""
    return "$" if currency == "USD" else f"{currency}\u00a0"


def usd(amount: Decimal | None, *, digits: int | None = None) -> str:
    """US dollars, as `money`."""
    return money(amount, digits=digits)


def usd_exact(amount: Decimal | None) -> str:
    """US dollars with every digit the ledger holds (nine after the point)."""
    return usd(amount, digits=9)


def duration(ns: float | None) -> str:
    """A duration in its natural unit, three digits that count."""
    if ns is None:
        return NONE
    if ns < 1e3:
        return f"{ns:.0f} ns"
    if ns < 1e6:
        return f"{ns / 1e3:.3g} µs"
    if ns < 999.5e6:
        return f"{ns / 1e6:.3g} ms"
    seconds = ns / 1e9
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    return f"{hours / 24:.1f} d"


def count(number: float | None) -> str:
    """A whole number with thousands separated."""
    return NONE if number is None else f"{number:,.0f}"


def short(number: float | None) -> str:
    """A large number in three digits and a unit: 12.3 k, 4.56 M."""
    if number is None:
        return NONE
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            scale = {"G": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"{number / scale:.3g} {unit}"
    return f"{number:,.0f}"


def percent(part: float | None, whole: float = 1.0) -> str:
    """A share; an en dash of nothing."""
    if part is None or not whole:
        return NONE
    value = 100 * part / whole
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 0.1 else f"{value:.1g} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """A score or a ratio, fixed digits so that a column lines up."""
    return NONE if value is None else f"{value:.{digits}f}"


def when(ns: int, *, seconds: bool = True) -> str:
    """A moment, UTC."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime(form)


def ago(ns: int, now_ns: int) -> str:
    """How long ago, in one unit."""
    seconds = max(0, (now_ns - ns) / 1e9)
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} d ago"


def plain(text: str, limit: int = 0) -> str:
    """Untrusted text made safe to look at: control and bidirectional characters shown, cut at ``limit``."""
    cut = text if not limit or len(text) <= limit else text[:limit] + "…"
    return "".join(_visible(letter) for letter in cut)


def line(text: str, limit: int = 200) -> str:
    """``plain`` on one line."""
    return " ".join(plain(text[: limit * 2], limit).split())


def _visible(letter: str) -> str:
    if letter in "\n\t":
        return letter
    if letter in _BIDI:
        return _BIDI[letter]
    if unicodedata.category(letter) in ("Cc", "Cs"):
        return chr(0x2400 + ord(letter)) if ord(letter) < 0x20 else "\ufffd"
    return letter


def change(now: Decimal | float | None, before: Decimal | float | None) -> str:
    """How much more or less than before, in whole per cent; a word where there is nothing to compare."""
    if not now or not before:
        return "nothing before" if not before else "nothing now"
    share = float(now) / float(before) - 1
    return f"{'+' if share >= 0 else MINUS}{abs(share) * 100:,.0f} % vs before"
