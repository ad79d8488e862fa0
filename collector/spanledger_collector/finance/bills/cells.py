"""Untrusted text in; exact numbers, days and names out, or an error that says what is wrong with it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation

from .lines import BillError, TokenType

_MOST = Decimal("1e15")
_FINEST = -40
_TIERS = {
    "default": "standard", "auto": "standard", "on_demand": "standard", "ondemand": "standard", "message": "standard",
    "messages": "standard", "scale": "scale", "false": "standard", "true": "batch", "message_batch": "batch",
    "message batch": "batch",
}  # fmt: skip
_PER = re.compile(r"(\d[\d,.]*)\s*([kKmM])?")


def number(value: object, line: int, name: str, comma: bool = False) -> Decimal | None:
    """An exact number; None for nothing. Understands ``$1,234.50``, ``(3.20)``, and with ``comma`` ``1.234,50``.

    Raises:
        BillError: it is no number, or one that no bill holds.
    """
    if value is None or isinstance(value, bool):
        return None
    text = str(value).strip().strip("'\"").strip()
    if text in ("", "-", "--", "null", "None", "NULL"):
        return None
    negative = text.startswith("(") and text.endswith(")")
    bare = re.sub(r"[\s$€£¥()\u00a0]|^(USD|EUR|GBP)|(USD|EUR|GBP)$", "", text)
    bare = bare.replace(".", "").replace(",", ".") if comma else bare.replace(",", "")
    try:
        found = Decimal(bare)
    except InvalidOperation:
        raise BillError(f"{name} is no number: {text[:40]!r}", line) from None
    exponent = found.as_tuple().exponent
    if not isinstance(exponent, int) or abs(found) > _MOST or exponent < _FINEST:
        raise BillError(f"{name} is out of range: {text[:40]!r}", line)
    return -found if negative else found


def count(value: object, line: int, name: str, comma: bool = False) -> Decimal | None:
    """A number of tokens or requests: as ``number``, never negative."""
    found = number(value, line, name, comma)
    if found is not None and found < 0:
        raise BillError(f"{name} is negative: {found}", line)
    return found


def day_of(value: object, line: int, name: str, zone: tzinfo) -> date:
    """The day of a date, an ISO 8601 moment or Unix seconds. A moment is read in ``zone``, the vendor's.

    Raises:
        BillError: it is none of these.
    """
    text = str(value if value is not None else "").strip()
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return _date(text, line, name)
    if re.fullmatch(r"\d{9,13}(\.\d+)?", text):
        seconds = Decimal(text)
        seconds = seconds / 1000 if seconds > Decimal(10) ** 11 else seconds
        return datetime.fromtimestamp(float(seconds), UTC).astimezone(zone).date()
    if match := re.fullmatch(r"(\d{4})/(\d{1,2})/(\d{1,2})", text):
        return _date("-".join(part.zfill(2) for part in match.groups()), line, name)
    try:
        moment = datetime.fromisoformat(re.sub(r"\s*UTC$", "+00:00", text))
    except ValueError:
        raise BillError(f"{name} is no date in ISO 8601 and no Unix time: {text[:40]!r}", line) from None
    return moment.date() if moment.tzinfo is None else moment.astimezone(zone).date()


def _date(text: str, line: int, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BillError(f"{name} is no day of the calendar: {text!r}", line) from None


def tier_of(value: object) -> str:
    """A service tier in the words of the ledger; empty for none."""
    text = str(value if value is not None else "").strip().lower()
    if text in ("", "--", "none", "null"):
        return ""
    return _TIERS.get(text, text)


def token_type_of(text: str) -> TokenType:
    """What a vendor's words count: ``cached input``, ``cache_creation.ephemeral_1h_input_tokens``, ``Outp Tokens``."""
    words = text.lower()
    cached = "cach" in words
    if cached and any(word in words for word in ("write", "creat", "5m", "1h")):
        return "cache_write"
    if cached and ("no_cache" in words or "uncached" in words):
        return "input"
    if cached:
        return "cache_read"
    if "audio" in words:
        return "audio"
    if "image" in words and "token" not in words:
        return "image"
    if re.search(r"out(p|put)?\b|output|completion|generated|reasoning", words):
        return "output"
    if re.search(r"\binp?\b|input|prompt|context", words):
        return "input"
    return ""


def unit_size(unit: str) -> Decimal | None:
    """How many tokens one unit is: ``1K tokens`` 1000, ``1M Tokens`` 1000000, ``Tokens`` 1; None for other units."""
    if "token" not in unit.lower():
        return None
    match = _PER.search(unit)
    if match is None:
        return Decimal(1000 if re.search(r"\bk\b|thousand", unit, re.I) else 1)
    scale = {"k": 1000, "m": 1_000_000, "": 1}[(match[2] or "").lower()]
    return Decimal(match[1].replace(",", "")) * scale


def decimals(amounts: list[Decimal]) -> int:
    """Digits after the point of the most exact of them; 0 for none."""
    found = [amount.normalize().as_tuple().exponent for amount in amounts]
    return max((-place for place in found if isinstance(place, int) and place < 0), default=0)


def currency_of(value: object, default: str = "USD") -> str:
    """A currency's code in capitals."""
    return str(value or default).strip().upper()[:8] or default
