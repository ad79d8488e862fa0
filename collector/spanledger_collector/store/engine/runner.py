"""A request and a handle in; the answer's head and pieces into a sink out. Runs in a worker thread."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from .errors import NOT_IMPLEMENTED, READONLY, SYNTAX_ERROR, UNKNOWN, EngineError, engine_error, refusal
from .handles import Handle, Result, quoted
from .native import columns_of, empty_block
from .processes import Kill, names_processes, read_kill, with_processes
from .request import Request
from .running import Running, Work

_APPEND = 4 * 1024 * 1024  # bytes given to the engine at once
_PIECE = 1024 * 1024  # bytes of a whole answer sent at once
_HOLD = 8 * 1024 * 1024  # bytes of an answer held back for a client that waits for its end
_PACK = 64 * 1024  # bytes of an answer sent together: ClickHouse itself waits for 1 MiB
_KILL_PATIENCE_S = 10.0
_KILL_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``X-ClickHouse-Summary`` says, in rows, bytes and nanoseconds."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0

    def with_piece(self, piece: Result) -> Summary:
        """Together with what the engine says of the next piece, whose counts are its own."""
        return Summary(
            read_rows=self.read_rows + piece.storage_rows_read(),
            read_bytes=self.read_bytes + piece.storage_bytes_read(),
            written_rows=self.written_rows + piece.rows_written(),
            written_bytes=self.written_bytes + piece.bytes_written(),
            elapsed_ns=max(self.elapsed_ns, int(piece.elapsed() * 1e9)),
        )

    def as_header(self) -> str:
        """JSON whose numbers are strings, as ClickHouse writes it."""
        return (
            f'{{"read_rows":"{self.read_rows}","read_bytes":"{self.read_bytes}",'
            f'"written_rows":"{self.written_rows}","written_bytes":"{self.written_bytes}",'
            f'"elapsed_ns":"{self.elapsed_ns}"}}'
        )


class Sink(Protocol):
    """Where an answer goes. Every method may block, and raises ``Gone`` once the client is away."""

    def start(self, output_format: str | None, summary: Summary) -> None:
        """The answer's head; ``output_format`` is None where there is no result."""
        ...

    def send(self, data: bytes) -> None:
        """The next piece of the body; it may be kept until there is more of it, or the end."""
        ...

    def flush(self) -> None:
        """Let the client have what was sent."""
        ...


class Gone(Exception):
    """The client went away: stop and give everything back."""


class Runner:
    """One statement on one handle, for one piece of work."""

    def __init__(self, request: Request, handle: Handle, sink: Sink, work: Work, running: Running) -> None:
        self._request = request
        self._handle = handle
        self._sink = sink
        self._work = work
        self._running = running

    def run(self) -> None:
        """Run it; raises ``EngineError`` for what the engine or the rules refuse, and ``Gone``."""
        request = self._request
        try:
            self._handle.prepare(request.database, request.settings, request.readonly)
            touches_session = self._check()
            with self._work.on(self._handle):
                try:
                    self._dispatch()
                except (Gone, RuntimeError, EngineError):
                    touches_session = True  # cut short: start the next statement from a clean session
                    raise
                finally:
                    if touches_session:
                        self._handle.reset()
        except RuntimeError as refused:
            raise engine_error(str(refused)) from None

    def _check(self) -> bool:
        """Refuse what HTTP or a reader may not do; say whether the statement could change the session."""
        statement, readonly = self._request.statement, self._request.readonly
        if statement.data is not None:
            if readonly:
                raise refusal(READONLY, "Cannot execute query in readonly mode.")
            return False
        found = self._handle.connection.classify_query(statement.sql)
        kind = getattr(found["query_class"], "name", "")
        if isinstance(found["statement_count"], int) and found["statement_count"] > 1:
            raise refusal(SYNTAX_ERROR, "Syntax error: Multi-statements are not allowed")
        if kind == "CONTROL" and statement.reads:
            raise refusal(NOT_IMPLEMENTED, "INTO OUTFILE is not allowed")
        if readonly and kind not in ("READ_ONLY", "UNKNOWN"):  # what does not parse: the engine says why
            raise refusal(READONLY, "Cannot execute query in readonly mode.")
        self._work.reads = kind == "READ_ONLY"
        return kind == "CONTROL"

    def _dispatch(self) -> None:
        statement = self._request.statement
        if statement.data is not None:
            self._insert(statement.data)
        elif (kill := read_kill(statement)) is not None:
            self._kill(kill)
        elif statement.streams(self._request.output_format):
            self._stream(self._sql())
        else:
            self._whole(self._sql())

    def _sql(self) -> str:
        statement = self._request.statement
        if names_processes(statement):
            return with_processes(statement, self._running.processes())
        return statement.sql

    def _insert(self, data: Iterable[bytes | memoryview]) -> None:
        statement, connection = self._request.statement, self._handle.connection
        failed_before = self._running.failed_inserts()
        stream = connection.send_insert(statement.sql, statement.format)
        try:
            for piece in data:
                for start in range(0, len(piece), _APPEND):
                    connection.insert_append(stream, bytes(piece[start : start + _APPEND]))
            result = connection.insert_done(stream)
        except RuntimeError:
            connection.insert_cancel(stream)
            raise
        # The engine reports what fails in reading the rows, and keeps to itself what fails in writing them.
        if self._running.failed_inserts() != failed_before:
            raise self._write_error()
        self._sink.start(None, Summary().with_piece(result))

    def _write_error(self) -> EngineError:
        """What the engine noted of this session's insert. Another that failed meanwhile may have hidden it."""
        noted = self._handle.run(
            "SELECT toString(code), last_error_message, name FROM system.errors WHERE query_id IN "
            "(SELECT query_id FROM system.session_query_ids ORDER BY sequence_number DESC LIMIT 3) "
            "ORDER BY last_error_time DESC LIMIT 1 FORMAT JSONCompact"
        )
        rows: list[tuple[str, str, str]] = json.loads(noted)["data"]
        if not rows:
            return EngineError(
                UNKNOWN,
                f"Code: {UNKNOWN}. DB::Exception: an insert failed and the engine does not say whether it was this one: "
                "send it again with its insert_deduplication_token (UNKNOWN_EXCEPTION)",
            )
        code, message, name = rows[0]
        return EngineError(int(code), f"Code: {code}. DB::Exception: {message} ({name})")

    def _whole(self, sql: str) -> None:
        request = self._request
        result = self._handle.connection.query(sql, request.output_format, params=request.bound)
        returns_rows = result.size() > 0 or request.statement.returns_rows
        self._sink.start(request.output_format if returns_rows else None, Summary().with_piece(result))
        answer = result.get_memview().view()
        if not answer and returns_rows:
            answer = memoryview(self._no_rows(sql))
        for start in range(0, len(answer), _PIECE):
            self._sink.send(bytes(answer[start : start + _PIECE]))

    def _stream(self, sql: str) -> None:
        request, connection = self._request, self._handle.connection
        held: list[bytes] = []
        room = _HOLD if request.waits_for_end else _PACK
        summary = Summary()
        started = False
        stream = connection.send_query(sql, request.output_format, params=request.bound)
        try:
            while (piece := connection.streaming_fetch_result(stream)).rows_read():
                held.append(piece.bytes())
                summary = summary.with_piece(piece)
                room -= len(held[-1])
                if room <= 0:
                    self._give(None if started else summary, held)
                    self._sink.flush()
                    started, room = True, _PACK
        except Gone:
            connection.streaming_cancel_query(stream)
            raise
        if not started and not held:
            held.append(self._no_rows(sql))
        self._give(None if started else summary.with_piece(piece), held)

    def _give(self, summary: Summary | None, held: list[bytes]) -> None:
        if summary is not None:
            self._sink.start(self._request.output_format, summary)
        if held:
            self._sink.send(b"".join(held))
            held.clear()

    def _no_rows(self, sql: str) -> bytes:
        """The engine says nothing at all for no rows; a Native client still needs the columns."""
        if self._request.output_format != "Native":
            return b""
        at = self._request.statement.format_at
        bare = sql if at < 0 else sql[: len(sql) - (len(self._request.statement.sql) - at)]
        answer = self._handle.run(f"{bare.rstrip().rstrip(';')}\nFORMAT JSONCompact", self._request.bound)
        return empty_block(columns_of(answer))

    def _kill(self, kill: Kill) -> None:
        """KILL QUERY in terms of the ids clients know; never the statement itself."""
        works = self._matching(kill)
        status = "finished" if kill.mode == "SYNC" else "waiting"
        tags = ", ".join(quoted(work.tag) for work in works) or "''"
        answer = self._handle.run(
            f"SELECT '{status}' AS kill_status, query_id, user, query FROM {self._running.processes()} "  # noqa: S608
            f"WHERE Settings['log_comment'] IN ({tags}) FORMAT {self._request.output_format}"
        )
        if kill.mode != "TEST":
            self._running.cancel(works, _KILL_PATIENCE_S if kill.mode == "SYNC" else 0.0)
        self._sink.start(self._request.output_format, Summary())
        self._sink.send(answer)

    def _matching(self, kill: Kill) -> list[Work]:
        """The work a KILL means. A handle may have taken up its next statement meanwhile: then look again."""
        works: list[Work] = []
        for _ in range(_KILL_LOOKS):
            listing = self._handle.run(
                f"SELECT Settings['log_comment'], query_id FROM {self._running.processes()} "  # noqa: S608
                f"WHERE ({kill.condition}) AND Settings['log_comment'] != {quoted(self._handle.tag)} FORMAT JSONCompact"
            )
            rows: list[tuple[str, str]] = json.loads(listing)["data"]
            works = self._running.still_there(rows)
            if len(works) == len(rows):
                break
        return works
