"""A value in; what may stand in a CSV cell, without a spreadsheet running it, out."""

from __future__ import annotations

from decimal import Decimal

# Full-width signs too: some spreadsheets read them as the plain ones.
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def neutral(cell: object) -> object:
    """The value; text that a spreadsheet could take for a formula gets a leading apostrophe."""
    if cell is None or isinstance(cell, int | float | Decimal):
        return "" if cell is None else cell
    text = str(cell).replace("\x00", "\u2400")
    return "'" + text if text.startswith(RISKY) or text.lstrip().startswith(RISKY) else text
