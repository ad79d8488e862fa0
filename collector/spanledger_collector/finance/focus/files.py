"""FOCUS rows in; the bytes of a CSV or Parquet file out, piece by piece."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from spanledger_collector.store.reads.cells import neutral
from spanledger_collector.store.reads.pieces import Pieces

from .columns import COLUMNS, Kind
from .rows import Row

_BLOCK = 5_000


def as_csv(rows: Iterable[Row]) -> Iterator[bytes]:
    """A CSV file with a header; text that a spreadsheet would run gets an apostrophe, null is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for block in _blocks(rows):
        writer.writerows([_cell(row[name]) for name in COLUMNS] for row in block)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def as_parquet(rows: Iterable[Row]) -> Iterator[bytes]:
    """A Parquet file: decimals as decimals, moments as UTC timestamps."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([(name, _type(kind, name, arrow)) for name, kind in COLUMNS.items()])
    sink = Pieces()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in _blocks(rows):
            columns = [
                arrow.array([_value(row[name], kind) for row in block], _type(kind, name, arrow))
                for name, kind in COLUMNS.items()
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))
            yield sink.drained()
    yield sink.drained()


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while block := list(islice(source, _BLOCK)):
        yield block


def _cell(value: object) -> object:
    if isinstance(value, Decimal):
        text = format(value, "f")
        return (
            text if "." in text else f"{text}.0"
        )  # a column of whole numbers is taken for integers otherwise
    return neutral(value)


def _value(value: Any, kind: Kind) -> Any:
    return datetime.fromisoformat(value) if kind == "moment" and value is not None else value


def _type(kind: Kind, name: str, arrow: Any) -> Any:
    if kind == "decimal":
        return arrow.decimal128(38, 24) if "UnitPrice" in name else arrow.decimal128(38, 12)
    return {
        "text": arrow.string(),
        "json": arrow.string(),
        "moment": arrow.timestamp("s", "UTC"),
        "count": arrow.int64(),
    }[kind]
