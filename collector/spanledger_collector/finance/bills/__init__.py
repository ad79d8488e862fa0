"""A vendor's file in (JSON, CSV, Parquet; untrusted), its lines in one shape out."""

from __future__ import annotations

from .lines import Bill, BillError, BillLine, LineKind, TokenType
from .read import FORMATS, Source, read_bill, source_of

__all__ = [
    "FORMATS",
    "Bill",
    "BillError",
    "BillLine",
    "LineKind",
    "Source",
    "TokenType",
    "read_bill",
    "source_of",
]
