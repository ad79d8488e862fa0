"""The contract of every importer: what one line of a vendor's bill or usage report says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

TokenType = Literal["", "input", "cache_read", "cache_write", "output", "audio", "image"]
"""What was counted. ``cache_write`` holds both lifetimes, ``output`` reasoning too, as bills do; empty: untold."""

LineKind = Literal["usage", "service", "credit", "tax"]
"""``service``: what is billed and is no model call (web search, storage). ``credit``: refunds and grants."""

Dimension = Literal["account", "key", "model", "tier", "token_type", "tokens", "amount"]


class BillError(ValueError):
    """The file cannot be read; the message says where and what to do about it."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message if line is None else f"line {line}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line. ``day`` is a day of the vendor's own time zone; money is in ``currency``, None where untold."""

    line: int
    """Where it stands: the line of a CSV file, the number of the result in JSON or Parquet; from 1."""
    day: date
    account: str = ""
    """The vendor's project, workspace or subscription."""
    key: str = ""
    model: str = ""
    tier: str = ""
    """``standard``, ``batch``, ``flex``, ``priority`` or another word of the vendor's; empty: untold."""
    token_type: TokenType = ""
    tokens: Decimal | None = None
    amount: Decimal | None = None
    currency: str = "USD"
    kind: LineKind = "usage"
    description: str = ""
    span: str = ""
    """The time bucket as the file gave it: two lines alike in all fields and in this are one line told twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a file holds. ``warnings`` are for people; ``left_out`` counts rows by the reason they were not taken."""

    format: str
    lines: tuple[BillLine, ...]
    decimals: int = 9
    """Digits after the point of the most exact amount: bills of few digits are rounded ones."""
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])

    def tells(self, dimension: Dimension) -> bool:
        """Whether any usage line says something about the dimension."""
        usage = (line for line in self.lines if line.kind == "usage")
        if dimension in ("tokens", "amount"):
            return any(getattr(line, dimension) is not None for line in usage)
        return any(getattr(line, dimension) for line in usage)
