"""A request and a handle in; the answer's head and pieces into a sink out. Runs in a worker thread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from .errors import READONLY, engine_error, refusal
from .handles import Handle, Result
from .native import columns_of, empty_block
from .request import Request

_APPEND = 4 * 1024 * 1024  # bytes given to the engine at once


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``X-ClickHouse-Summary`` says, in rows, bytes and nanoseconds."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0

    def as_header(self) -> str:
        """JSON whose numbers are strings, as ClickHouse writes it."""
        names = ("read_rows", "read_bytes", "written_rows", "written_bytes", "elapsed_ns")
        return json.dumps({name: str(getattr(self, name)) for name in names}, separators=(",", ":"))


class Sink(Protocol):
    """Where an answer goes. Every method may block, and raises ``Gone`` once the client is away."""

    def start(self, output_format: str | None, summary: Summary) -> None:
        """The answer's head; ``output_format`` is None where there is no result."""
        ...

    def send(self, data: bytes) -> None:
        """The next piece of the body."""
        ...


class Gone(Exception):
    """The client went away: stop and give everything back."""


def run(request: Request, handle: Handle, sink: Sink) -> None:
    """Run one statement; raises ``EngineError`` for what the engine or the rules refuse, ``Gone``."""
    try:
        handle.prepare(request.database, request.settings, request.readonly)
        touches_session = _check(request, handle)
        try:
            _dispatch(request, handle, sink)
        finally:
            if touches_session:
                handle.reset()
    except RuntimeError as refused:
        raise engine_error(str(refused)) from None


def _check(request: Request, handle: Handle) -> bool:
    """Refuse what a reader may not do; say whether the statement could change the session itself."""
    statement = request.statement
    if statement.verb == "INSERT" and not request.readonly:
        return False
    name = getattr(handle.connection.classify_query(statement.sql)["query_class"], "name", "")
    if request.readonly and name not in ("READ_ONLY", "UNKNOWN"):  # what does not parse: the engine says why
        raise refusal(READONLY, "Cannot execute query in readonly mode.")
    return name == "CONTROL"


def _dispatch(request: Request, handle: Handle, sink: Sink) -> None:
    if request.statement.data is not None:
        _insert(request, handle, sink)
    elif request.statement.streams(request.output_format):
        _stream(request, handle, sink)
    else:
        _whole(request, handle, sink)


def _insert(request: Request, handle: Handle, sink: Sink) -> None:
    statement, connection = request.statement, handle.connection
    data = statement.data or b""
    stream = connection.send_insert(statement.sql, statement.format)
    try:
        for start in range(0, len(data), _APPEND):
            connection.insert_append(stream, data[start : start + _APPEND])
        result = connection.insert_done(stream)
    except RuntimeError:
        connection.insert_cancel(stream)
        raise
    sink.start(None, _summary(result))


def _whole(request: Request, handle: Handle, sink: Sink) -> None:
    result = handle.connection.query(request.statement.sql, request.output_format, params=request.bound)
    answer = result.bytes()
    returns_rows = bool(answer) or request.statement.returns_rows
    sink.start(request.output_format if returns_rows else None, _summary(result))
    if not answer and returns_rows:
        answer = _no_rows(request, handle)
    if answer:
        sink.send(answer)


def _stream(request: Request, handle: Handle, sink: Sink) -> None:
    connection = handle.connection
    stream = connection.send_query(request.statement.sql, request.output_format, params=request.bound)
    started = False
    try:
        while (piece := connection.streaming_fetch_result(stream)).rows_read():
            if not started:
                sink.start(request.output_format, _summary(piece))
                started = True
            sink.send(piece.bytes())
    except Gone:
        connection.streaming_cancel_query(stream)
        raise
    if not started:
        sink.start(request.output_format, _summary(piece))
        sink.send(_no_rows(request, handle))


def _no_rows(request: Request, handle: Handle) -> bytes:
    """The engine says nothing at all for no rows; a Native client still needs the columns."""
    if request.output_format != "Native":
        return b""
    sql = request.statement.sql_without_format()
    answer = handle.connection.query(f"{sql}\nFORMAT JSONCompact", "JSONCompact", params=request.bound)
    return empty_block(columns_of(answer.bytes()))


def _summary(result: Result) -> Summary:
    return Summary(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )
