"""Calls and scores of a window in; all of them, page by page as Arrow tables, out.

Each page is one bounded question in the order of the primary key, so an export of any size costs the
memory of one page, on both sides. A finished span never changes, so pages never overlap and none is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from .asking import Client, every, statement
from .calls import AFTER_OLDEST, CallFilter
from .scores import ScoreFilter
from .window import IN_SPANS, Window


class Table(Protocol):
    """The part of a ``pyarrow.Table`` that exports need; pyarrow has no types."""

    num_rows: int
    column_names: list[str]
    schema: Any

    def column(self, name: str) -> Any:
        """A ``pyarrow.ChunkedArray``."""
        ...

    def to_pydict(self) -> dict[str, list[Any]]:
        """Columns as Python values."""
        ...


PAGE = 10_000
"""Rows of one page: some 40 MB with prompts."""

_SETTINGS = {"max_result_bytes": 1 << 30, "max_execution_time": 120, "max_threads": 2}

CONTENT = ("input", "output", "documents", "attributes", "resource", "events", "links")
"""Columns that hold what was said; the bulk of an export."""

_CALL = """
SELECT lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    lower(hex(spans.parent_span_id)) AS parent_span_id, * EXCEPT (trace_id, span_id, parent_span_id{less})
FROM spans WHERE
"""

_SCORE = """
SELECT score_id, lower(hex(scores.trace_id)) AS trace_id, lower(hex(scores.span_id)) AS span_id,
    * EXCEPT (score_id, trace_id, span_id)
FROM scores FINAL WHERE
"""

_AFTER_SCORE = (
    "(name, scores.time, score_id) > "
    "({after_name:String}, fromUnixTimestamp64Nano({after:Int64}, 'UTC'), {after_id:String})"
)


def export_calls(
    client: Client,
    project: str,
    window: Window,
    which: CallFilter,
    *,
    content: bool = True,
    page: int = PAGE,
) -> Iterator[Table]:
    """Full records, oldest first; at least one table, so that an empty export has its columns too."""
    conditions, parameters = which.where()
    less = "" if content else ", " + ", ".join(CONTENT)
    where = ["project = {project:String}", IN_SPANS, *conditions]
    order = "ORDER BY spans.start_time, spans.trace_id, spans.span_id LIMIT {page:UInt32}"
    parameters |= {"project": project, "page": page, **window.bound()}
    select = which.prefix() + _CALL.format(less=less)
    table = _table(client, statement(select, every(where), order), parameters)
    yield table
    while table.num_rows == page:
        parameters |= {
            "after": _last_ns(table, "start_time"),
            "after_trace": _last(table, "trace_id"),
            "after_span": _last(table, "span_id"),
        }
        table = _table(client, statement(select, every([*where, AFTER_OLDEST]), order), parameters)
        yield table


def export_scores(
    client: Client, project: str, window: Window, which: ScoreFilter, *, page: int = PAGE
) -> Iterator[Table]:
    """Scores as they stand, by name and time; at least one table."""
    conditions, parameters = which.where()
    where = ["project = {project:String}", *conditions]
    order = "ORDER BY name, scores.time, score_id LIMIT {page:UInt32}"
    parameters |= {"project": project, "page": page, **window.bound()}
    table = _table(client, statement(_SCORE, every(where), order), parameters)
    yield table
    while table.num_rows == page:
        parameters |= {
            "after": _last_ns(table, "time"),
            "after_name": _last(table, "name"),
            "after_id": _last(table, "score_id"),
        }
        table = _table(client, statement(_SCORE, every([*where, _AFTER_SCORE]), order), parameters)
        yield table


def _table(client: Client, sql: str, parameters: dict[str, object]) -> Table:
    return client.query_arrow(sql, parameters=parameters, settings=_SETTINGS)


def _last(table: Table, column: str) -> Any:
    return table.column(column)[-1].as_py()


def _last_ns(table: Table, column: str) -> int:
    return int(table.column(column)[-1].value)
