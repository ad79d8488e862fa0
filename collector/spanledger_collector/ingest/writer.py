"""Sealed segments in; rows in the store out, each once.

Two threads: one reads segments into rows, the other decides on a batch and stores it, so that the engine's work on
one segment and ours on the next overlap. Segments are decided on one at a time, in order.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from clickhouse_connect.driver.exceptions import Error as EngineError

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.writes import (
    Insert,
    NotStoredError,
    arrow_insert,
    content,
    dead_letter_insert,
    halves,
    is_retryable,
    send,
)

from . import prepared
from .decide import Decider
from .lease import Alone, Lease
from .metrics import Metrics
from .pricing import PriceBook, warm_up
from .redact import Rules
from .rows import Batch
from .spool import Segment, Spool
from .unpack import Letters, unpack

logger = logging.getLogger(__name__)

LINGER_S, BUSY_LINGER_S = 0.4, 1.0
"""How long the first request of a segment waits for more: when nothing else is to do, and while another is stored."""
T = TypeVar("T")
_LAG_SAMPLES = 20  # spans of a segment whose lag is observed
_TRIES = 3  # of an insert whose rows are not there afterwards
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_POLL_S = 0.5


class Stopped(Exception):
    """The writer was asked to end before the store could be reached."""


@dataclass(slots=True)
class Unpacked:
    """A segment's rows, before any decision; its dead letters so far."""

    batch: Batch
    letters: Letters


class Writer:
    """Moves segments from the spool into the store until stopped."""

    def __init__(
        self,
        spool: Spool,
        client: Client,
        prices: PriceBook,
        rules: Rules,
        metrics: Metrics,
        lease: Lease | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """``client`` writes and reads the store; ``clock`` gives ns since the epoch."""
        self._spool, self._client, self._metrics, self._clock = spool, client, metrics, clock
        self._decider = Decider(client, prices, rules, metrics)
        self._lease = lease or Alone()
        self._stop = threading.Event()
        self._ahead: queue.Queue[tuple[Segment, Unpacked | None]] = queue.Queue(maxsize=1)
        self._threads = [
            threading.Thread(target=self._read_ahead, name="ingest-reader", daemon=True),
            threading.Thread(target=self._run, name="ingest-writer", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 4) -> None:
        """Write what the closed spool still holds, for at most ``timeout_s``; the rest stays on disk."""
        deadline = time.monotonic() + timeout_s
        alive = [thread for thread in self._threads if thread.is_alive()]
        while alive and self._spool.depth_bytes and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stop.set()
        for thread in alive:  # one that waits for a dead store ends with the process; the spool has it all
            thread.join(timeout=max(0.0, deadline + 3 - time.monotonic()))

    # -- reading -----------------------------------------------------------------------------------------

    def _read_ahead(self) -> None:
        while not self._stop.is_set():
            segment = self._spool.take(LINGER_S, _POLL_S, BUSY_LINGER_S)
            if segment is not None:
                self._hand_over(segment, self._unpack_once(segment))

    def _unpack_once(self, segment: Segment) -> Unpacked | None:
        """The segment's rows; None where it was decided on before a restart, or failed: the writer goes on from there."""
        if segment.prepared.exists():
            return None
        try:
            return self._unpack(segment)
        except Exception:
            logger.exception("segment %s could not be read", segment.path.name)
            return None

    def _unpack(self, segment: Segment) -> Unpacked:
        letters = Letters(self._metrics, self._clock)
        unpacked = Unpacked(unpack(segment, letters), letters)
        self._spool.release_memory(segment)
        return unpacked

    def _hand_over(self, segment: Segment, unpacked: Unpacked | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._ahead.put((segment, unpacked), timeout=_POLL_S)
                return

    # -- storing -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        warm_up()
        arrow_insert("scores", [], "")  # loads pyarrow
        while not self._stop.is_set():
            try:
                segment, unpacked = self._ahead.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            while not self._stop.is_set() and not self._written(segment, unpacked):
                unpacked = None  # its rows may be half decided on

    def _written(self, segment: Segment, unpacked: Unpacked | None) -> bool:
        """Whether the segment is stored; False after a failure that is none of the store's, and a pause."""
        try:
            self.write(segment, unpacked)
        except Stopped:
            self._stop.set()
        except Exception:
            logger.exception("segment %s failed and is tried again", segment.path.name)
            self._metrics.insert_errors.labels("failed").inc()
            self._stop.wait(_LONGEST_PAUSE_S)
            return False
        return True

    def write(self, segment: Segment, unpacked: Unpacked | None = None) -> None:
        """Store one segment and forget it.

        Raises:
            Stopped: the writer was asked to end before the store could be reached.
        """
        inserts, ends = prepared.read(segment.prepared), list[int]()
        if inserts is None and unpacked is None:
            unpacked = self._unpack(segment)
        with self._lease.turn():
            if inserts is None:
                inserts, ends = self.prepare(segment, unpacked)
                prepared.write(segment.prepared, inserts)
            for insert in inserts:
                self._insert(insert)
        self._spool.done(segment)
        now = self._clock()
        for end in ends[:: len(ends) // _LAG_SAMPLES + 1]:
            self._metrics.lag_seconds.observe(max(0, now - end) / 1e9)

    def prepare(self, segment: Segment, unpacked: Unpacked | None = None) -> tuple[list[Insert], list[int]]:
        """The inserts of a segment, and when its spans ended."""
        made = unpacked or self._unpack(segment)
        known = self._until_reached(lambda: self._decider.known(made.batch))
        return self._decider.inserts(made.batch, known, segment.token(), made.letters)

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
        letters = Letters(self._metrics, self._clock)
        letters.add(str(row["project"]), "refused_by_store", str(wrong), repr(row).encode())
        self._insert(dead_letter_insert(letters.rows, f"{insert.token}-dead"))

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
