"""Untrusted bytes in; rows with their line numbers, or parsed JSON pages, out. Everything has a limit."""

from __future__ import annotations

import csv
import importlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn, cast

from .lines import BillError

MAX_BYTES = 64 * 1024 * 1024
"""Of a file, before and after inflation."""
MAX_ROWS = 500_000
MAX_COLUMNS = 500

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Table:
    """A header, and rows by column name with the line each stands on."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[int, Mapping[str, Any]]]


def inflated(data: bytes, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file, out of gzip where it is in it.

    Raises:
        BillError: it is empty, too large, or a broken archive.
    """
    if data.startswith(_GZIP):
        data = _gunzip(data, limit)
    if len(data) > limit:
        raise BillError(f"the file has more than {limit // 1024 // 1024} MiB: export fewer days at a time")
    if not data.strip():
        raise BillError("the file is empty")
    return data


def _gunzip(data: bytes, limit: int) -> bytes:
    machine = zlib.decompressobj(wbits=31)
    try:
        found = machine.decompress(data, limit + 1)
    except zlib.error as wrong:
        raise BillError(f"the gzip archive is broken: {wrong}") from None
    if not machine.eof and len(found) <= limit:
        raise BillError("the gzip archive is cut off: download it again")
    return found


def is_parquet(data: bytes) -> bool:
    """Whether the bytes are a Parquet file."""
    return data.startswith(_PARQUET)


def text_of(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        BillError: it is in another encoding, or no text.
    """
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise BillError("is not UTF-8: save the file as CSV in UTF-8", line) from None


def csv_table(text: str, limit: int = MAX_ROWS) -> Table:
    """A CSV file with a header; the delimiter is the one that cuts the header into most columns.

    Raises:
        BillError: no header, a column twice, a row of another length, too many rows.
    """
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = _columns(next(reader, list[str]()))
        return Table(columns, list(_csv_rows(reader, columns, limit)))
    except csv.Error as wrong:
        raise BillError(f"is no CSV: {wrong}", reader.line_num) from None


def _columns(header: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip().strip("\ufeff") for name in header)
    if not any(names):
        raise BillError("there is no header with the names of the columns", 1)
    if len(names) > MAX_COLUMNS:
        raise BillError(f"more than {MAX_COLUMNS} columns", 1)
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise BillError(f"the column {sorted(twice)[0]!r} stands there twice", 1)
    return names


def _csv_rows(reader: Any, columns: Sequence[str], limit: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    start = 2
    for seen, cells in enumerate(reader):
        if seen >= limit:
            raise BillError(f"more than {limit} rows: export fewer days at a time", start)
        if any(cell.strip() for cell in cells):
            if len(cells) != len(columns):
                raise BillError(f"has {len(cells)} cells, the header {len(columns)}", start)
            yield start, dict(zip(columns, cells, strict=True))
        start = reader.line_num + 1


def parquet_table(data: bytes, limit: int = MAX_ROWS) -> Table:
    """A Parquet file of flat columns.

    Raises:
        BillError: it is broken, or too large.
    """
    pq: Any = importlib.import_module("pyarrow.parquet")
    arrow: Any = importlib.import_module("pyarrow")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > limit:
            raise BillError(f"more than {limit} rows: export fewer days at a time")
        size = sum(file.metadata.row_group(at).total_byte_size for at in range(file.num_row_groups))
        if size > 8 * MAX_BYTES:
            raise BillError(f"inflates to more than {8 * MAX_BYTES // 1024 // 1024} MiB")
        rows: list[dict[str, Any]] = file.read().to_pylist()
    except (arrow.ArrowException, OSError) as wrong:
        raise BillError(f"the Parquet file is broken: {str(wrong)[:200]}") from None
    columns = tuple(str(name) for name in file.schema_arrow.names)
    return Table(columns, [(number, row) for number, row in enumerate(rows, 1)])


def json_pages(text: str) -> list[dict[str, Any]]:
    """The pages of an API's answers: one object, a list of them, or one a line. Numbers with a point stay exact.

    Raises:
        BillError: it is no JSON, or holds something else.
    """
    try:
        found = _loads(text)
    except json.JSONDecodeError as wrong:
        found = _json_lines(text, wrong)
    pages: list[Any] = cast(list[Any], found) if isinstance(found, list) else [found]
    for number, page in enumerate(pages, 1):
        if not isinstance(page, dict) or not isinstance(cast(dict[str, Any], page).get("data"), list):
            raise BillError(f"page {number} has no list `data`: send the API's answers as they came")
    return cast(list[dict[str, Any]], pages)


def results(pages: list[dict[str, Any]], start: str) -> list[tuple[int, dict[str, Any]]]:
    """The results of every bucket of the pages, numbered, each with its bucket's ``start``.

    Raises:
        BillError: a bucket is none.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    for page in pages:
        for bucket in cast(list[Any], page["data"]):
            inner = cast(dict[str, Any], bucket).get("results") if isinstance(bucket, dict) else None
            if not isinstance(inner, list):
                raise BillError(
                    "a bucket has no list `results`: ask the API for buckets of a day", len(found) + 1
                )
            for result in cast(list[Any], inner):
                if not isinstance(result, dict):
                    raise BillError("a result is no object", len(found) + 1)
                if len(found) >= MAX_ROWS:
                    raise BillError(f"more than {MAX_ROWS} results: export fewer days at a time")
                moment = cast(dict[str, Any], bucket).get(start)
                found.append((len(found) + 1, {start: moment, **cast(dict[str, Any], result)}))
    return found


def _json_lines(text: str, whole: json.JSONDecodeError) -> list[Any]:
    lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):
        raise BillError(f"is no JSON: {whole.msg}", whole.lineno) from None
    found: list[Any] = []
    for at, line in lines:
        try:
            found.append(_loads(line))
        except json.JSONDecodeError as wrong:
            raise BillError(f"is no JSON: {wrong.msg}", at) from None
    return found


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise BillError("is nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise BillError(f"holds {word}, which is no number of a bill")
