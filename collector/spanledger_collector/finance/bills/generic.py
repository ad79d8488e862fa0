"""Any other CSV in, with a mapping that names its columns: lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from .cells import count, currency_of, day_of, number, tier_of, token_type_of
from .lines import BillError, BillLine, LineKind, TokenType
from .tables import Table

FIELDS = (
    "day", "account", "key", "model", "tier", "token_type", "tokens", "amount", "currency", "description",
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
)  # fmt: skip
"""What a mapping may name. A file has a row a token type (``token_type``, ``tokens``), or a column a type."""

_WIDE: dict[str, TokenType] = {
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "output_tokens": "output",
}


def lines(
    table: Table,
    columns: Mapping[str, str],
    zone: tzinfo,
    *,
    currency: str,
    scale: Decimal,
    comma: bool,
    words: Mapping[str, str],
) -> Iterator[BillLine]:
    """Lines by a mapping of our fields to the file's columns; ``scale`` makes its amounts units of ``currency``.

    Raises:
        BillError: the mapping names no day, no amount and no tokens, or a column that is not there.
    """
    _check(table, columns)
    for at, row in table.rows:
        cell = {name: row[column] for name, column in columns.items()}
        amount = number(cell.get("amount"), at, columns.get("amount", "amount"), comma)
        plain = _plain(cell, at, columns, zone, currency)
        scaled = None if amount is None else amount * scale
        wide = [
            (kind, count(cell.get(name), at, columns[name], comma))
            for name, kind in _WIDE.items()
            if name in columns
        ]
        if wide:
            used = [(kind, tokens) for kind, tokens in wide if tokens]
            yield from (replace(plain, token_type=kind, tokens=tokens) for kind, tokens in used)
            if amount is not None:
                yield replace(plain, amount=scaled, kind=_kind(scaled, plain.description))
            continue
        tokens = count(cell.get("tokens"), at, columns.get("tokens", "tokens"), comma)
        if amount is not None or tokens is not None:
            yield replace(
                plain,
                kind=_kind(scaled, plain.description),
                token_type=_token_type(str(cell.get("token_type") or ""), words),
                tokens=tokens,
                amount=scaled,
            )


def _check(table: Table, columns: Mapping[str, str]) -> None:
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise BillError(f"the mapping names {unknown[0]!r}; allowed: {', '.join(FIELDS)}")
    if "day" not in columns or not {"amount", "tokens", *_WIDE} & set(columns):
        raise BillError(
            "the format is none of those known: name its columns, at least day and amount or tokens,"
            f" as in day={table.columns[0]}"
        )
    missing = [column for column in columns.values() if column not in table.columns]
    if missing:
        raise BillError(
            f"there is no column {missing[0]!r}; the file has {', '.join(map(repr, table.columns[:20]))}"
        )


def _plain(
    cell: Mapping[str, Any], at: int, columns: Mapping[str, str], zone: tzinfo, currency: str
) -> BillLine:
    def word(name: str) -> str:
        return str(cell.get(name) or "").strip()

    return BillLine(
        line=at,
        day=day_of(cell.get("day"), at, columns["day"], zone),
        account=word("account"),
        key=word("key"),
        model=word("model"),
        tier=tier_of(cell.get("tier")),
        currency=currency_of(cell.get("currency"), currency),
        description=word("description"),
        span=word("day"),
    )


def _token_type(text: str, words: Mapping[str, str]) -> TokenType:
    return token_type_of(words.get(text, text))


def _kind(amount: Decimal | None, description: str) -> LineKind:
    text = description.lower()
    if (amount is not None and amount < 0) or "refund" in text or "credit" in text:
        return "credit"
    return "usage"
