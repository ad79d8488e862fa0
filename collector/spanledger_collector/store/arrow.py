"""Rows in (column to value, missing means default); columns of one Arrow record batch, and their bytes, out."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import accumulate, chain
from typing import Any, Union, get_args, get_origin, get_type_hints

from spanledger.records import CallRecord, Score

Row = Mapping[str, Any]

TIMES = frozenset({"start_time", "time", "created_at", "updated_at"})
"""Columns of moments: ns since the epoch in a row, a timestamp in Arrow."""

_RECORDS = {"spans": CallRecord, "scores": Score}
_Build = Callable[[Sequence[Any]], Any]


def pyarrow() -> Any:
    """pyarrow, which has no types of its own, imported by those who insert only."""
    return importlib.import_module("pyarrow")


def record_batch(table: str, rows: Sequence[Row]) -> tuple[tuple[str, ...], memoryview]:
    """The columns that any row of ``spans`` or ``scores`` fills, and the Arrow stream that holds them.

    Raises:
        ValueError, TypeError, OverflowError: a value does not fit its column's type.
    """
    filled = set[str]().union(*{tuple(row) for row in rows})
    columns = {name: column for name, column in _columns(table).items() if name in filled}
    names, defaults = tuple(columns), [default for _, default in columns.values()]
    # Row by row, while each is in the processor's cache: column by column takes twice as long.
    cells = [tuple(map(row.get, names, defaults)) for row in rows]
    arrays = [
        build(list(cell))
        for (build, _), cell in zip(columns.values(), zip(*cells, strict=True), strict=False)
    ]
    if not rows:
        arrays = [build([]) for build, _ in columns.values()]
    return names, stream(names, arrays)


def stream(names: Sequence[str], arrays: Sequence[Any]) -> memoryview:
    """The bytes of one record batch as an Arrow stream."""
    return bytes_of(pyarrow().record_batch(list(arrays), names=list(names)))


def bytes_of(batch: Any) -> memoryview:
    """The bytes of a record batch as an Arrow stream."""
    pa = pyarrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def array(values: Sequence[Any], arrow_type: Any) -> Any:
    """One column. A lone surrogate, which JSON can name and UTF-8 cannot hold, becomes a question mark."""
    pa = pyarrow()
    if pa.types.is_map(arrow_type):
        return _map_array(values)
    try:
        return pa.array(values, arrow_type)
    except UnicodeEncodeError:
        return pa.array([_clean(value) for value in values], arrow_type)


def _map_array(values: Sequence[Mapping[str, str]]) -> Any:
    """A map of texts to texts, without a pair in Python for each entry."""
    pa = pyarrow()
    ends = accumulate(map(len, values), initial=0)
    keys = array(list(chain.from_iterable(values)), pa.string())
    items = array(list(chain.from_iterable(value.values() for value in values)), pa.string())
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, items)


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


@cache
def _columns(table: str) -> dict[str, tuple[_Build, Any]]:
    """How every column is built and what a row without it holds, from the row contract's own annotations."""
    return {name: _column(name, hint) for name, hint in get_type_hints(_RECORDS[table]).items()}


def _column(name: str, hint: Any) -> tuple[_Build, Any]:
    arrow_type, default = _arrow_type(name, hint)
    return (lambda values: array(values, arrow_type)), default


def _arrow_type(name: str, hint: Any) -> tuple[Any, Any]:
    """The Arrow type of a field and what a row without it holds."""
    pa = pyarrow()
    if name in TIMES:
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
