"""Sealed segments in; rows in the store out, each once. One thread, one segment at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from clickhouse_connect.driver.exceptions import Error as EngineError
from google.protobuf.message import DecodeError

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.known import Known, known_spans
from spanledger_collector.store.writes import (
    Insert,
    NotStoredError,
    Row,
    arrow_insert,
    content,
    dead_letter_insert,
    halves,
    is_retryable,
    send,
)

from . import billing, prepared
from .errors import Refused
from .lease import Alone, Lease
from .logs import merge_contents, normalise_logs
from .metrics import Metrics
from .normalise import Batch, Span, Tenancy, normalise
from .pricing import PriceBook, price, warm_up
from .redact import Redactor
from .spool import Record, Segment, Spool
from .wire import inflate

logger = logging.getLogger(__name__)

LINGER_S = 0.4
"""How long the first request of a segment waits for more, when the writer has nothing else to do."""
INSERT_ROWS = 20_000
T = TypeVar("T")
_LAG_SAMPLES = 20  # spans of a segment whose lag is observed
_TRIES = 3  # of an insert whose rows are not there afterwards
_UNFIT = (ValueError, TypeError, OverflowError)  # pyarrow's own errors are kinds of these
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_INFLATED_LIMIT = 1 << 31  # the limit held when the request was accepted


class Stopped(Exception):
    """The writer was asked to end before the store could be reached."""


class Writer:
    """Moves segments from the spool into the store until stopped."""

    def __init__(
        self,
        spool: Spool,
        client: Client,
        prices: PriceBook,
        redactor: Redactor,
        metrics: Metrics,
        lease: Lease | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``client`` writes and reads the store; ``clock`` gives ns since the epoch."""
        self._spool, self._client, self._prices = spool, client, prices
        self._redactor, self._metrics, self._clock = redactor, metrics, clock
        self._lease = lease or Alone()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 4) -> None:
        """Write what the closed spool still holds, for at most ``timeout_s``; the rest stays on disk."""
        deadline = time.monotonic() + timeout_s
        while self._spool.depth_bytes and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(
                timeout=3
            )  # one that waits for a dead store ends with the process; the spool has it all

    def _run(self) -> None:
        warm_up()
        arrow_insert("scores", [], "")  # loads pyarrow
        while not self._stop.is_set():
            segment = self._spool.take(LINGER_S, 0.5)
            if segment is None:
                continue
            try:
                self.write(segment)
            except Stopped:
                return
            except Exception:
                logger.exception("segment %s failed and is tried again", segment.path.name)
                self._metrics.insert_errors.labels("failed").inc()
                self._stop.wait(_LONGEST_PAUSE_S)

    def write(self, segment: Segment) -> None:
        """Store one segment and forget it.

        Raises:
            Stopped: the writer was asked to end before the store could be reached.
        """
        with self._lease.turn():
            inserts, ends = prepared.read(segment.prepared), list[int]()
            if inserts is None:
                inserts, ends = self._until_reached(lambda: self.prepare(segment))
                prepared.write(segment.prepared, inserts)
            for insert in inserts:
                self._insert(insert)
        self._spool.done(segment)
        now = self._clock()
        for end in ends[:: len(ends) // _LAG_SAMPLES + 1]:
            self._metrics.lag_seconds.observe(max(0, now - end) / 1e9)

    # -- deciding ----------------------------------------------------------------------------------------

    def prepare(self, segment: Segment) -> tuple[list[Insert], list[int]]:
        """The inserts of a segment, and when its spans ended."""
        batch, letters = Batch(), list[Row]()
        for record in segment.load():
            self._normalise(record, batch, letters)
        merge_contents(batch)
        token = segment.token()
        self._prices.refresh()
        spans = self._fresh(batch.spans)
        rows = self._finish(spans)
        inserts = [
            *self._chunks("spans", rows, token, letters),
            *self._chunks("scores", batch.scores, token, letters),
        ]
        if letters:
            inserts.append(dead_letter_insert(letters, f"{token}-dead"))
        self._metrics.clamped.inc(batch.clamped)
        return inserts, [row["start_time"] + row["duration_ns"] for row in rows]

    def _chunks(self, table: str, rows: Sequence[Row], token: str, letters: list[Row]) -> list[Insert]:
        parts = [rows[at : at + INSERT_ROWS] for at in range(0, len(rows), INSERT_ROWS)]
        try:
            return [arrow_insert(table, part, f"{token}-{table}-{n}") for n, part in enumerate(parts)]
        except _UNFIT:
            sound = [row for row in rows if self._fits(table, row, letters)]
        parts = [sound[at : at + INSERT_ROWS] for at in range(0, len(sound), INSERT_ROWS)]
        return [arrow_insert(table, part, f"{token}-{table}-{n}") for n, part in enumerate(parts)]

    def _fits(self, table: str, row: Row, letters: list[Row]) -> bool:
        try:
            arrow_insert(table, [row], "")
            return True
        except _UNFIT as wrong:
            letters.append(self._letter(row["project"], "unfit_value", str(wrong), repr(dict(row)).encode()))
            return False

    def _normalise(self, record: Record, batch: Batch, letters: list[Row]) -> None:
        tenancy = Tenancy(record.project, record.team, record.key_id, record.received_at, record.trusted)
        try:
            body = record.plain or inflate(record.body, record.encoding, _INFLATED_LIMIT)
            (normalise if record.signal == "traces" else normalise_logs)(body, tenancy, batch)
        except (DecodeError, Refused) as wrong:  # it could be read when it was accepted: the disk changed it
            payload = record.plain or record.body
            letters.append(self._letter(record.project, "unreadable", repr(wrong), payload))
        letters += [self._letter(project, "not_normalised", why, span) for project, why, span in batch.faults]
        batch.faults.clear()

    def _fresh(self, spans: list[Span]) -> list[Span]:
        """Decide on billing and drop what the table or this batch holds already."""
        if not spans:
            return []
        known = self._known(spans)
        seen = {(row.project, row.trace_id, row.span_id) for row in known}
        fresh: list[Span] = []
        for span in spans:
            key = (span.row["project"], span.row["trace_id"], span.row["span_id"])
            if key not in seen:
                seen.add(key)
                fresh.append(span)
        self._metrics.duplicated.inc(len(spans) - len(fresh))
        self._metrics.repeated.inc(billing.decide(fresh, known))
        return fresh

    def _known(self, spans: list[Span]) -> list[Known]:
        return known_spans(self._client, billing.asked(spans))

    def _finish(self, spans: list[Span]) -> list[Row]:
        by_project: dict[str, list[dict[str, object]]] = defaultdict(list)
        unpriced = 0
        for span in spans:
            unpriced += not price(span, self._prices.table(span.row["project"]))
            by_project[span.row["project"]].append(span.row)
        self._metrics.unpriced.inc(unpriced)
        for project, rows in by_project.items():
            self._metrics.redacted.inc(self._redactor.redact(project, rows))
        return [span.row for span in spans]

    def _letter(self, project: str, reason: str, message: str, payload: bytes) -> Row:
        self._metrics.dead.labels(reason).inc()
        return {
            "project": project,
            "time": self._clock(),
            "source": "ingest",
            "reason": reason,
            "message": message[:2000],
            "payload": payload.hex(),
        }

    # -- sending -----------------------------------------------------------------------------------------

    def _insert(self, insert: Insert) -> None:
        begun = time.monotonic()
        # A dead letter is the last resort: until it is in, the store takes nothing, and its rows stay in the spool.
        tries = None if insert.table == "dead_letters" else _TRIES
        try:
            self._until_reached(lambda: send(self._client, insert), tries)
        except (EngineError, NotStoredError) as wrong:
            self._set_aside(insert, wrong)
            return
        self._metrics.insert_seconds.observe(time.monotonic() - begun)
        if insert.table == "spans":
            self._metrics.stored.inc(insert.rows)
        elif insert.table == "scores":
            self._metrics.scores.inc(insert.rows)

    def _set_aside(self, insert: Insert, wrong: Exception) -> None:
        """Find the rows the engine refuses and keep them as dead letters; the others go through."""
        parts = halves(insert)
        for part in parts:
            self._insert(part)
        if parts:
            return
        self._metrics.insert_errors.labels("set_aside").inc()
        logger.error("a row of %s is set aside: %s", insert.table, str(wrong)[:500])
        if insert.table == "dead_letters":
            return  # refused even there: the log has it
        row = content(insert)[0]
        letter = self._letter(str(row["project"]), "refused_by_store", str(wrong), repr(row).encode())
        self._insert(dead_letter_insert([letter], f"{insert.token}-dead"))

    def _until_reached(self, action: Callable[[], T], tries: int | None = None) -> T:
        """Do it, again and again while the store is away.

        Raises:
            Stopped: the writer was asked to end first.
            EngineError: the engine refuses, and will always refuse.
            NotStoredError: it said yes ``tries`` times and stored nothing.
        """
        pause, unstored = _FIRST_PAUSE_S, 0
        while True:
            try:
                return action()
            except (EngineError, NotStoredError) as wrong:
                unstored += isinstance(wrong, NotStoredError)
                if not is_retryable(wrong) or unstored == tries:
                    raise
                self._metrics.insert_errors.labels("retried").inc()
                logger.warning("the store is away, next try in %.1f s: %s", pause, str(wrong)[:300])
            if self._stop.wait(pause):
                raise Stopped
            self._lease.renew()
            pause = min(pause * 2, _LONGEST_PAUSE_S)
