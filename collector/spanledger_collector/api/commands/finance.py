"""What the commands of finance share: a month, and money in columns."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from .show import plain


def month(text: str) -> str:
    """A month of the command line. Raises argparse's error for anything else."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no month: write it as 2026-05")
    return text


def usd(value: object, places: int = 2) -> str:
    """Dollars with thousands separated."""
    return f"{Decimal(str(value)):,.{places}f}"


def columns(rows: Iterable[Sequence[object]], right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Lines with aligned columns; those named stand to the right."""
    cells = [[plain(str(cell)) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    for row in cells:
        parts = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(parts).rstrip()
