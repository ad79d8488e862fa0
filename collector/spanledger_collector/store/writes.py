"""Rows in (column to value, missing means default), Arrow bytes and inserts of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.exceptions import DatabaseError

from .arrow import Row, bytes_of, pyarrow, record_batch, stream
from .clickhouse import Client

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
    body: bytes | memoryview
    rows: int
    probes: tuple[Probe, ...] = ()


def arrow_insert(table: str, rows: Sequence[Row], token: str) -> Insert:
    """An insert of rows of ``spans`` or ``scores``. Columns that no row fills are left to their defaults.

    Raises:
        ValueError, TypeError, OverflowError: a value does not fit its column's type.
    """
    names, body = record_batch(table, rows)
    return Insert(table, names, token, body, len(rows), _probes(table, rows))


def dead_letter_insert(rows: Sequence[Row], token: str) -> Insert:
    """An insert of ``dead_letters``: rows with ``project, time (ns), source, reason, message, payload``."""
    pa = pyarrow()
    arrays = [
        pa.array([row[name] for row in rows], pa.timestamp("ns", "UTC") if name == "time" else pa.string())
        for name in DEAD_LETTER_COLUMNS
    ]
    body = stream(DEAD_LETTER_COLUMNS, arrays)
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
        insert.table,
        list(insert.columns),
        insert_block=memoryview(insert.body),
        settings=settings,
        fmt="ArrowStream",
    )
    if missing := _missing(client, insert):
        raise NotStoredError(
            f"{insert.rows} rows of {insert.table}: {missing} of {len(insert.probes)} partitions"
        )


def halves(insert: Insert) -> list[Insert]:
    """The same rows as two inserts, to find the one that the engine refuses; none for a single row."""
    pa = pyarrow()
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
            bytes_of(part),
            part.num_rows,
            _probes(insert.table, _with_ns(part, _PROBED[insert.table])),
        )
        for side, part in enumerate(parts)
    ]


def _with_ns(batch: Any, names: tuple[str, str]) -> list[Row]:
    """The columns that tell rows, with times as ns."""
    time, identity = names
    columns: dict[str, list[Any]] = {"project": batch.column("project").to_pylist()}
    columns[time] = batch.column(time).cast(pyarrow().int64()).to_pylist()
    if identity:
        columns[identity] = batch.column(identity).to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def content(insert: Insert) -> list[Row]:
    """The rows of an insert as plain values, for a person to read."""
    pa = pyarrow()
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
