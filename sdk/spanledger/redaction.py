"""Text in, the same text with secrets and personal numbers replaced by a mark out, and how many.

Where a class has a checksum (cards: Luhn, IBAN: ISO 7064 mod 97) only what passes it is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

_SECRET: Final = re.compile(
    r"""(?x)
    (?<![A-Za-z0-9_-])(?:
        sk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{16,}        # OpenAI, Anthropic, OpenRouter
      | sl_[A-Za-z0-9]+_[A-Za-z0-9_-]{8,}                        # ours
      | (?:AKIA|ASIA)[A-Z0-9]{16}                                # AWS
      | gh[pousr]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{40,}
      | glpat-[A-Za-z0-9_-]{20,}
      | xox[abeoprs]-[A-Za-z0-9-]{10,}                           # Slack
      | AIza[A-Za-z0-9_-]{35}                                    # Google
      | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}              # Stripe
      | hf_[A-Za-z0-9]{30,}
      | npm_[A-Za-z0-9]{36}
      | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}               # SendGrid
      | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}   # JWT
    )(?![A-Za-z0-9_-])
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.DOTALL,
)
_NAMED_SECRET: Final = re.compile(
    # Spaces are bounded: two unbounded runs beside each other would take quadratic time on a long blank text.
    r"(?i)(\b(?:authorization[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?:bearer|basic)|bearer|password|passwd|secret|api[_-]?key|"
    r"access[_-]?token|client[_-]?secret)(?:\\?[\"'])?\s{0,9}[:= ]\s{0,9}(?:\\?[\"'])?)([^\s\"'\\,;&<>]{8,})"
)
_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\.)"
    r"{1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_CARD: Final = re.compile(r"(?<![\dA-Za-z.])(?:\d[ -]?){12,18}\d(?![\dA-Za-z])")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_PHONE: Final = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ .\-/]?(?:\(\d{1,4}\)[ .\-/]?)?(?:\d[ .\-/]?){6,12}\d"
    r"|\(\d{2,5}\)[ .\-/]?\d{2,4}(?:[ .\-/]?\d{2,4}){1,3}"
    r"|\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|0\d{1,4}[ ./-]\d{2,4}(?:[ .-]?\d{2,4}){1,3})(?![\w-])"
)
_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for position, digit in enumerate(map(int, reversed(digits))):
        total += digit if position % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Whether the check digits of an IBAN hold (ISO 13616: ISO 7064 mod 97-10 equals 1).

    >>> mod97("DE89370400440532013000"), mod97("DE89370400440532013001")
    (True, False)
    """
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and digits[0] in "23456" and luhn(digits)


def _iban_in(text: str) -> int:
    """How many characters of the text are an IBAN; 0 for none."""
    length = _IBAN_LENGTHS.get(text[:2])
    if length is None:
        return 0
    taken, compact = 0, ""
    for char in text:
        if len(compact) == length:
            break
        taken += 1
        compact += char if char.isalnum() else ""
    return taken if len(compact) == length and mod97(compact) else 0


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 8 <= len(digits) <= 15 and not re.fullmatch(r"(?:19|20)\d\d[-./]\d\d[-./]\d\d", text)


Mark = Callable[[str, str], str]
"""What stands in the place of a finding: its class and its text in, the replacement out."""

Detector = Callable[[str, Mark], tuple[str, int]]
"""A text in; the text with every finding replaced, and how many there were, out."""


def label(name: str, _found: str) -> str:
    """The class in brackets, whatever was found."""
    return f"[{name}]"


def _by(
    pattern: re.Pattern[str], name: str, check: Callable[[str], bool] = lambda _: True, needs: str = ""
) -> Detector:
    def detect(text: str, mark: Mark) -> tuple[str, int]:
        if needs not in text:  # a glance for most texts, where the pattern would try every place
            return text, 0
        found = 0

        def one(match: re.Match[str]) -> str:
            nonlocal found
            if not check(match[0]):
                return match[0]
            found += 1
            return mark(name, match[0])

        return pattern.sub(one, text), found

    return detect


def _secrets(text: str, mark: Mark) -> tuple[str, int]:
    text, found = _SECRET.subn(lambda match: mark("secret", match[0]), text)
    text, named = _NAMED_SECRET.subn(lambda match: match[1] + mark("secret", match[2]), text)
    return text, found + named


def _ibans(text: str, mark: Mark) -> tuple[str, int]:
    found = 0

    def one(match: re.Match[str]) -> str:
        nonlocal found
        size = _iban_in(match[0])
        found += bool(size)
        return mark("iban", match[0][:size]) + match[0][size:] if size else match[0]

    return _IBAN.sub(one, text), found


DETECTORS: Final[dict[str, Detector]] = {
    # This order: an IBAN or a card looks like a phone number, not the other way round.
    "secrets": _secrets,
    "iban": _ibans,
    "card": _by(_CARD, "card", _is_card),
    "email": _by(_EMAIL, "email", needs="@"),
    "phone": _by(_PHONE, "phone", _is_phone),
}


class Redactor:
    """Replaces the chosen classes: ``secrets``, ``card``, ``iban``, ``email``, ``phone``."""

    def __init__(self, classes: Iterable[str], mark: Mark = label) -> None:
        chosen = frozenset(classes)
        self._steps = [step for name, step in DETECTORS.items() if name in chosen]
        self._mark = mark

    def __call__(self, text: str) -> tuple[str, int]:
        """The cleaned text and how many places were replaced.

        >>> Redactor(["email"])("write to ann@example.org")
        ('write to [email]', 1)
        """
        total = 0
        for step in self._steps:
            text, found = step(text, self._mark)
            total += found
        return text, total
