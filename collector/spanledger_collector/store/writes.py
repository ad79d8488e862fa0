"""Rows in (column to value, missing means default), Arrow bytes and inserts of them out."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from clickhouse_connect.driver.exceptions import DatabaseError

from spanledger.records import CallRecord, Score

from .clickhouse import Client

Row = Mapping[str, Any]

_TIMES = frozenset({"start_time", "time", "created_at", "updated_at"})

RETRYABLE_CODES = frozenset(
    {
        # memory, too many parts or queries, timeouts, network, Keeper, shutting down, read-only table
        74, 75, 76, 159, 164, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 290, 319, 394, 415, 425,
        439, 473, 516, 519, 571, 600, 635, 636, 640, 668, 692, 745, 999, 1000, 1002,
        # a database or table that migrations have yet to make
        60, 81,
    }
)  # fmt: skip
"""Engine errors that the same insert may survive later. Any other code is about the rows themselves."""

DEAD_LETTER_COLUMNS = ("project", "time", "source", "reason", "message", "payload")


Probe = tuple[str, int, str]
"""Project, time in ns and identity (hex of a span id, a score id, or empty) of one row of an insert."""


class NotStoredError(Exception):
    """The engine said yes to an insert and its rows are not there.

    The embedded engine does so when writing fails after reading: a full disk, a violated constraint.
    """


@dataclass(frozen=True, slots=True)
class Insert:
    """One insert, ready to be sent and sent again: the engine counts two with one ``token`` as one.

    ``probes`` are a row of each partition it writes: a partition's rows are stored together or not at all.
    """

    table: str
    columns: tuple[str, ...]
    token: str
    body: bytes
    rows: int
    probes: tuple[Probe, ...] = ()


def arrow_insert(table: str, rows: Sequence[Row], token: str) -> Insert:
    """An insert of rows of ``spans`` or ``scores``. Columns that no row fills are left to their defaults.

    Raises:
        ValueError, TypeError, OverflowError: a value does not fit its column's type.
    """
    columns = _columns(table)
    filled = set[str]().union(*rows)
    names = [name for name in columns if name in filled]
    arrays = [columns[name](rows) for name in names]
    return Insert(table, tuple(names), token, _stream(names, arrays), len(rows), _probes(table, rows))


def dead_letter_insert(rows: Sequence[Row], token: str) -> Insert:
    """An insert of ``dead_letters``: rows with ``project, time (ns), source, reason, message, payload``."""
    pa = _pyarrow()
    arrays = [
        pa.array([row[name] for row in rows], pa.timestamp("ns", "UTC") if name == "time" else pa.string())
        for name in DEAD_LETTER_COLUMNS
    ]
    body = _stream(list(DEAD_LETTER_COLUMNS), arrays)
    return Insert("dead_letters", DEAD_LETTER_COLUMNS, token, body, len(rows), _probes("dead_letters", rows))


_PROBED = {"spans": ("start_time", "span_id"), "scores": ("time", "score_id"), "dead_letters": ("time", "")}
"""What tells a row of each table, beside its project."""


def _probes(table: str, rows: Sequence[Row]) -> tuple[Probe, ...]:
    time, identity = _PROBED[table]
    found: dict[tuple[int, int], Probe] = {}
    for row in rows:
        month = datetime.fromtimestamp(row[time] // 10**9, UTC)
        key = (month.year, month.month)
        if key not in found:
            value = row[identity] if identity else ""
            found[key] = (row["project"], row[time], value.hex() if isinstance(value, bytes) else value)
    return tuple(found.values())


def _missing(client: Client, insert: Insert) -> int:
    """How many of the insert's partitions are not there."""
    time, identity = _PROBED[insert.table]
    column = {"span_id": "lower(hex(span_id))", "score_id": "score_id"}.get(identity, "''")
    query = (
        f"SELECT count() FROM {insert.table} WHERE project = {{p:String}}"  # noqa: S608 - names of our own
        f" AND {time} = fromUnixTimestamp64Nano({{t:Int64}}) AND {column} = {{i:String}}"
    )
    answers = (client.query(query, {"p": p, "t": t, "i": i}).result_rows[0][0] for p, t, i in insert.probes)
    return sum(not found for found in answers)


def send(client: Client, insert: Insert) -> None:
    """Do one insert, or do it again, and see that it is there.

    Raises:
        clickhouse_connect.driver.exceptions.Error: see ``is_retryable``.
        NotStoredError: the engine said nothing of it.
    """
    settings = {
        "insert_deduplication_token": insert.token,
        "async_insert": 0,
        "max_partitions_per_insert_block": 0,  # late spans of many months are no reason to lose them
        "deduplicate_blocks_in_dependent_materialized_views": 1,
    }
    client.raw_insert(
        insert.table, list(insert.columns), insert_block=insert.body, settings=settings, fmt="ArrowStream"
    )
    if missing := _missing(client, insert):
        raise NotStoredError(
            f"{insert.rows} rows of {insert.table}: {missing} of {len(insert.probes)} partitions"
        )


def halves(insert: Insert) -> list[Insert]:
    """The same rows as two inserts, to find the one that the engine refuses; none for a single row."""
    pa = _pyarrow()
    if insert.rows < 2:
        return []
    with pa.ipc.open_stream(insert.body) as reader:
        batch = reader.read_next_batch()
    middle = insert.rows // 2
    parts = (batch.slice(0, middle), batch.slice(middle))
    return [
        Insert(
            insert.table,
            insert.columns,
            f"{insert.token}.{side}",
            _bytes_of(part),
            part.num_rows,
            _probes(insert.table, _with_ns(part, _PROBED[insert.table])),
        )
        for side, part in enumerate(parts)
    ]


def _with_ns(batch: Any, names: tuple[str, str]) -> list[Row]:
    """The columns that tell rows, with times as ns."""
    time, identity = names
    columns: dict[str, list[Any]] = {"project": batch.column("project").to_pylist()}
    columns[time] = batch.column(time).cast(_pyarrow().int64()).to_pylist()
    if identity:
        columns[identity] = batch.column(identity).to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def content(insert: Insert) -> list[Row]:
    """The rows of an insert as plain values, for a person to read."""
    pa = _pyarrow()
    with pa.ipc.open_stream(insert.body) as reader:
        table = reader.read_all()
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns
    ]
    return pa.table(columns, names=table.column_names).to_pylist()


def is_retryable(wrong: Exception) -> bool:
    """Whether the same insert may go through later. An error without an engine's code is the network's."""
    if not isinstance(wrong, DatabaseError):
        return True
    code = wrong.code
    return not code or code in RETRYABLE_CODES


def _pyarrow() -> Any:
    """pyarrow, which has no types of its own, imported by those who insert only."""
    return importlib.import_module("pyarrow")


def _stream(names: list[str], arrays: list[Any]) -> bytes:
    pa = _pyarrow()
    return _bytes_of(pa.record_batch(arrays, names=names))


def _bytes_of(batch: Any) -> bytes:
    pa = _pyarrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


_Build = Callable[[Sequence[Row]], Any]


@cache
def _columns(table: str) -> dict[str, _Build]:
    """Builders of every column, from the row contract's own annotations."""
    record = {"spans": CallRecord, "scores": Score}[table]
    return {name: _builder(name, hint) for name, hint in get_type_hints(record).items()}


def _builder(name: str, hint: Any) -> _Build:
    arrow_type, default = _arrow_type(name, hint)
    return lambda rows: _array([row.get(name, default) for row in rows], arrow_type)


def _array(values: list[Any], arrow_type: Any) -> Any:
    pa = _pyarrow()
    if pa.types.is_map(arrow_type):
        return pa.array([list(value.items()) for value in values], arrow_type)
    try:
        return pa.array(values, arrow_type)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can name and UTF-8 cannot hold
        return pa.array([_clean(value) for value in values], arrow_type)


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _arrow_type(name: str, hint: Any) -> tuple[Any, Any]:
    """The Arrow type of a field and what a row without it holds."""
    pa = _pyarrow()
    if name in _TIMES:
        return pa.timestamp("ns", "UTC"), 0
    nullable = get_origin(hint) in (Union, types.UnionType)
    kind = next(arg for arg in get_args(hint) if arg is not type(None)) if nullable else hint
    if get_origin(kind) is list:
        return pa.list_(pa.string()), []
    if get_origin(kind) is dict:
        return pa.map_(pa.string(), pa.string()), {}
    simple = {
        bytes: (pa.binary(), b""),
        bool: (pa.bool_(), False),
        int: (pa.uint64() if name.endswith("_ns") else pa.int64(), 0),
        float: (pa.float64(), 0.0),
        Decimal: (pa.decimal128(18, 9), None),
    }
    arrow_type, default = simple.get(kind, (pa.string(), ""))
    if name == "higher_is_better":
        default = True
    return arrow_type, None if nullable else default
