"""One word of a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "unit", "date", "code", "name", "negator", "weighty", "function", "word"]


@dataclass(slots=True)
class Token:
    """One word. ``key`` is what it is compared by, ``low`` the word in small letters."""

    kind: Kind
    key: str
    low: str
    marker: str = ""  # the preposition that governs it, "'s" for a possessor
    is_possessor: bool = False
    is_first: bool = False
    is_capital: bool = False
    place: int = 0
