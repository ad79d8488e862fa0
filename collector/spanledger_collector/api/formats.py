"""Arrow tables in; the bytes of one CSV, JSONL or Parquet file out, table by table.

A cell of a CSV that a spreadsheet would take for a formula is made text by an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from spanledger_collector.store.reads.cells import neutral
from spanledger_collector.store.reads.export import Table
from spanledger_collector.store.reads.pieces import Pieces

Format = Literal["csv", "jsonl", "parquet"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}

_NS = 10**9


def encoded(tables: Iterable[Table], kind: Format) -> Iterator[bytes]:
    """The file's bytes, in pieces as the tables come."""
    encoders: dict[Format, Callable[[Iterable[Table]], Iterator[bytes]]] = {
        "csv": _csv,
        "jsonl": _jsonl,
        "parquet": _parquet,
    }
    return encoders[kind](tables)


def _csv(tables: Iterable[Table]) -> Iterator[bytes]:
    for number, table in enumerate(tables):
        text = io.StringIO()
        writer = csv.writer(text)
        if number == 0:
            writer.writerow(table.column_names)
        writer.writerows([_cell(value) for value in row] for row in _rows(table))
        yield text.getvalue().encode()


def _jsonl(tables: Iterable[Table]) -> Iterator[bytes]:
    for table in tables:
        names = table.column_names
        lines = (
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=_plain)
            for row in _rows(table)
        )
        yield "".join(f"{line}\n" for line in lines).encode()


def _parquet(tables: Iterable[Table]) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    parquet = cast(Any, pq)
    sink = Pieces()
    writer: Any = None
    for table in tables:
        if writer is None:
            writer = parquet.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
        yield sink.drained()
    if writer is not None:
        writer.close()
        yield sink.drained()


def _rows(table: Table) -> Iterator[tuple[Any, ...]]:
    columns = [_column(table, name) for name in table.column_names]
    return zip(*columns, strict=True)


def _column(table: Table, name: str) -> list[Any]:
    """Python values; times as ns since the epoch, maps as dictionaries."""
    column = table.column(name)
    kind = str(column.type)
    if kind.startswith("timestamp"):
        unit = {"s": _NS, "ms": 10**6, "us": 10**3, "ns": 1}[kind[10:].split(",")[0].rstrip("]")]
        return [_Moment(value * unit) for value in column.cast("int64").to_pylist()]
    if kind.startswith("map"):
        return [dict(cast(list[tuple[str, str]], pairs)) for pairs in column.to_pylist()]
    return cast(list[Any], column.to_pylist())


class _Moment(int):
    """Nanoseconds since the epoch: a number in JSON, a date in CSV."""

    def text(self) -> str:
        seconds, ns = divmod(self, _NS)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def _cell(value: Any) -> object:
    if isinstance(value, _Moment):
        return value.text()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (dict, list)):
        return neutral(json.dumps(value, ensure_ascii=False))
    return neutral(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"no JSON for {type(value).__name__}")
