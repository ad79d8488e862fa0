"""Calls that a pool served in, rows of ``gpu_costs`` in and out: each interval's newest revision, or a restatement of it.

A restatement is one insert: the rows of the former revision again with sign -1, and the new ones. Sums are never
torn: rows of one insert become visible together, and the same insert again (a lost answer) changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from spanledger.serving.usage import Usage
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import Row, ask, ask_one, statement

from .dims import BUCKETS, CATEGORY, DIMS, OF_SPANS

LOOK_BACK_NS = 6 * 3600 * 10**9
"""A call that ran in an interval began at most so long before it."""
_LARGEST = {"max_result_rows": 2_000_000, "max_execution_time": 60}

_CALLS = f"""
SELECT project, {CATEGORY} AS category, {OF_SPANS}, hex(s.trace_id) AS trace, hex(s.span_id) AS span,
    toUnixTimestamp64Nano(s.start_time) AS start, s.duration_ns AS took, s.queue_ns AS queued,
    multiIf(prefill_ns IS NOT NULL OR decode_ns IS NOT NULL, ifNull(prefill_ns, 0) + ifNull(decode_ns, 0),
        gpu_seconds IS NOT NULL, toUInt64(gpu_seconds * 1e9), engine.took) AS engine_ns,
    {", ".join(BUCKETS)}
FROM spans AS s
LEFT JOIN (
    SELECT hex(trace_id) AS of_trace, hex(parent_span_id) AS of_span,
        toNullable(sum(ifNull(prefill_ns, 0) + ifNull(decode_ns, 0))) AS took
    FROM spans WHERE {{project}} start_time >= fromUnixTimestamp64Nano({{from:Int64}}, 'UTC')
        AND start_time < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')
        AND NOT billable AND (prefill_ns IS NOT NULL OR decode_ns IS NOT NULL)
    GROUP BY of_trace, of_span
) AS engine ON hex(s.trace_id) = engine.of_trace AND hex(s.span_id) = engine.of_span
WHERE {{project}} s.start_time >= fromUnixTimestamp64Nano({{from:Int64}}, 'UTC')
    AND s.start_time < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')
    AND toUnixTimestamp64Nano(s.start_time) + s.duration_ns >= {{since:Int64}}
    AND s.billable AND s.gpu_pool = {{pool:String}} AND s.cache NOT IN ('exact', 'semantic')
SETTINGS join_use_nulls = 1
"""  # noqa: S608 - names of our own

_STORED = f"""
SELECT project, toUnixTimestamp(interval_start) AS at, interval_s, revision, toUnixTimestamp64Nano(time) AS time_ns, line,
    basis, home, hex(trace_id) AS trace, hex(span_id) AS span, category, {", ".join(DIMS)}, engine_ns, cost, list_cost
FROM gpu_costs WHERE pool_project = {{owner:String}} AND gpu_pool = {{pool:String}} AND sign = 1
    AND interval_start >= fromUnixTimestamp({{from_s:Int64}}) AND interval_start < fromUnixTimestamp({{until_s:Int64}})
    AND (interval_start, revision) IN (
        SELECT interval_start, max(revision) FROM gpu_costs
        WHERE pool_project = {{owner:String}} AND gpu_pool = {{pool:String}}
            AND interval_start >= fromUnixTimestamp({{from_s:Int64}})
            AND interval_start < fromUnixTimestamp({{until_s:Int64}})
        GROUP BY interval_start)
"""  # noqa: S608

_METERED = """
SELECT count() AS rows, toUnixTimestamp(max(interval_start)) AS last, toUnixTimestamp64Milli(max(known_at)) AS known
FROM gpu_costs WHERE pool_project = {owner:String} AND gpu_pool = {pool:String}
"""

_TOUCHED = """
SELECT DISTINCT arrayJoin(range(intDiv(toUnixTimestamp(start_time), {step:UInt32}),
    intDiv(toUInt64((toUnixTimestamp64Nano(start_time) + duration_ns) / 1e9), {step:UInt32}) + 1)) * {step:UInt32} AS at
FROM spans WHERE {project} inserted_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    AND gpu_pool = {pool:String} AND duration_ns < 86400000000000
ORDER BY at LIMIT 100000
"""

_COLUMNS = (
    "project", "pool_project", "interval_start", "interval_s", "revision", "sign", "time", "known_at", "line", "basis",
    "home", "trace_id", "span_id", "category", *DIMS, "engine_ns", "cost", "list_cost",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCall:
    """One call of a pool; times in ns, ``engine_ns`` None where nobody measured. ``dims`` in the order of ``DIMS``."""

    project: str
    category: str
    dims: tuple[Any, ...]
    trace_id: bytes
    span_id: bytes
    start: int
    duration_ns: int
    queue_ns: int | None
    engine_ns: int | None
    usage: Usage

    def dim(self, name: str) -> str:
        """One dimension's value."""
        return str(self.dims[DIMS.index(name)])


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One row of ``gpu_costs`` without its revision: equal rows say the same. ``time`` in ns, ``at`` in seconds."""

    project: str
    at: int
    interval_s: int
    time: int
    line: str
    basis: str
    home: bool
    trace_id: bytes
    span_id: bytes
    category: str
    dims: tuple[Any, ...]
    engine_ns: int
    cost: Decimal
    list_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Metered:
    """The start of the last interval that was metered (seconds), and when anything of the pool was written (ms)."""

    last: int
    known_ms: int


def metered(client: Client, owner: str, pool: str) -> Metered | None:
    """How far a pool is metered; None: not at all."""
    row = ask_one(client, _METERED, {"owner": owner, "pool": pool})
    return Metered(int(row["last"]), int(row["known"])) if row["rows"] else None


def touched(client: Client, owner: str, pool: str, step_s: int, since_ms: int) -> list[int]:
    """Starts (seconds) of the intervals in which calls ran that were stored since then."""
    sql = _TOUCHED.replace("{project}", _of(owner))
    rows = ask(client, sql, {"owner": owner, "pool": pool, "step": step_s, "since_ms": since_ms}, _LARGEST)
    return [int(row["at"]) for row in rows]


def served_calls(client: Client, owner: str, pool: str, start: int, end: int) -> list[ServedCall]:
    """The calls that ran at some time from ``start`` to ``end`` (ns), of the owner's project or, for ``*``, of all."""
    sql = _CALLS.replace("{project}", _of(owner))
    bound = {"owner": owner, "pool": pool, "from": start - LOOK_BACK_NS, "until": end, "since": start}
    return [_call(row) for row in ask(client, sql, bound, _LARGEST)]


def stored_rows(
    client: Client, owner: str, pool: str, from_s: int, until_s: int
) -> dict[int, tuple[int, list[CostRow]]]:
    """The newest revision of each interval and its rows, by the interval's start (seconds)."""
    bound = {"owner": owner, "pool": pool, "from_s": from_s, "until_s": until_s}
    found: dict[int, tuple[int, list[CostRow]]] = {}
    for row in ask(client, statement(_STORED), bound, _LARGEST):
        _, rows = found.setdefault(int(row["at"]), (int(row["revision"]), []))
        rows.append(_row(row))
    return found


def write(
    client: Client,
    owner: str,
    changes: Iterable[tuple[int, Sequence[CostRow], Sequence[CostRow]]],
    known_ms: int,
) -> int:
    """Write intervals: each a former revision (0: none), its rows and the new rows. Returns how many rows.

    All must lie in one month, so that they are stored together or not at all.
    """
    values: list[list[Any]] = []
    names: list[str] = []
    for former, before, after in changes:
        values += [_values(owner, row, former, -1, known_ms) for row in before]
        values += [_values(owner, row, former + 1, 1, known_ms) for row in after]
        if after:
            names.append(f"{after[0].dims[DIMS.index('gpu_pool')]}:{after[0].at}:{former + 1}")
    if not values:
        return 0
    token = hashlib.blake2b(f"{owner}|{'|'.join(names)}".encode(), digest_size=16).hexdigest()
    client.insert(
        "gpu_costs", values, column_names=list(_COLUMNS), settings={"insert_deduplication_token": token}
    )
    return len(values)


def _of(owner: str) -> str:
    return "" if owner == "*" else "project = {owner:String} AND"


def _call(row: Row) -> ServedCall:
    return ServedCall(
        project=str(row["project"]),
        category=str(row["category"]),
        dims=_dims(row),
        trace_id=bytes.fromhex(row["trace"]),
        span_id=bytes.fromhex(row["span"]),
        start=int(row["start"]),
        duration_ns=int(row["took"]),
        queue_ns=row["queued"],
        engine_ns=None if row["engine_ns"] is None else int(row["engine_ns"]),
        usage=Usage(**{name: row[name] for name in BUCKETS}),
    )


def _dims(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(tuple(row[name]) if name == "tags" else str(row[name]) for name in DIMS)


def _row(row: Row) -> CostRow:
    return CostRow(
        project=str(row["project"]),
        at=int(row["at"]),
        interval_s=int(row["interval_s"]),
        time=int(row["time_ns"]),
        line=str(row["line"]),
        basis=str(row["basis"]),
        home=bool(row["home"]),
        trace_id=bytes.fromhex(row["trace"]),
        span_id=bytes.fromhex(row["span"]),
        category=str(row["category"]),
        dims=_dims(row),
        engine_ns=int(row["engine_ns"]),
        cost=Decimal(row["cost"]),
        list_cost=None if row["list_cost"] is None else Decimal(row["list_cost"]),
    )


def _values(owner: str, row: CostRow, revision: int, sign: int, known_ms: int) -> list[Any]:
    dims = [list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value for value in row.dims]
    return [
        row.project, owner, row.at, row.interval_s, revision, sign, row.time, known_ms, row.line, row.basis,
        row.home, row.trace_id, row.span_id, row.category, *dims, row.engine_ns, row.cost, row.list_cost,
    ]  # fmt: skip
