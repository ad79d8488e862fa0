"""A question in, its rows out: the one place where a read meets the client.

Every read passes its values as bound parameters (``{name:Type}`` in the text); a name that must be an
identifier comes from a fixed table in the read's own module, never from a caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanledger_collector.store.clickhouse import Client as Client

Row = dict[str, Any]


def ask(
    client: Client, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> list[Row]:
    """Run ``sql`` with bound ``parameters`` and return one dict a row, keyed by column name."""
    answer = client.query(sql, parameters=dict(parameters), settings=dict(settings or {}))
    names = list(answer.column_names)
    return [dict(zip(names, row, strict=True)) for row in answer.result_rows]


def ask_one(client: Client, sql: str, parameters: Mapping[str, Any]) -> Row:
    """The single row of an aggregate without GROUP BY."""
    return ask(client, sql, parameters)[0]


def statement(*parts: str) -> str:
    """One statement from constant pieces and conditions, joined by spaces."""
    return " ".join(parts)


def every(conditions: Sequence[str]) -> str:
    """The conditions joined by AND."""
    return " AND ".join(conditions)
