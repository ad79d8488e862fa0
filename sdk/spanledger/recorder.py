"""The way of a finished span: facts in, privacy and limits applied, journal (or memory) out; counts of each.

`Recorder.record` is the internal API for parts that know their facts (the gateway): no context, no OpenTelemetry
objects. The tracer of `spanledger.tracing` ends in `Recorder.take`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from spanledger import otlp, resource, semconv, trimming
from spanledger.journal import process, writer
from spanledger.journal.frames import FinishedSpan, pack
from spanledger.journal.memory import MemoryStore
from spanledger.journal.shipper import Shipper, poke
from spanledger.settings import Settings
from spanledger.span_facts import AttributeValue, Event, Link, SpanFacts
from spanledger.version import __version__

if TYPE_CHECKING:
    from spanledger.journal.shipping import Connection

logger = logging.getLogger("spanledger")
SCOPE: Final = otlp.scope("spanledger", __version__)
_RESOURCE_BYTES: Final = 3500  # of a segment's header
_CHECK_NS: Final = 2_000_000_000
_STATUS: Final = {"ok": otlp.STATUS_UNSET, "error": otlp.STATUS_ERROR, "cut": otlp.STATUS_ERROR}


class Counters(NamedTuple):
    """Exact counts of this process: ``recorded == shipped + kept + sum(dropped.values())``."""

    recorded: int
    shipped: int
    kept: int
    dropped: dict[str, int]


class Recorder:
    """Takes finished spans and sees that they reach the collector. Thread-safe and fork-safe.

    ``prepare`` may change a span's attributes before it is stored (masking, limits); ``transport`` replaces
    the HTTP connection in tests and runs in a thread.
    """

    sends = True
    """Whether anything leaves the process."""

    def __init__(
        self,
        settings: Settings,
        *,
        prepare: Callable[[SpanFacts], None] | None = None,
        transport: Callable[[], Connection] | None = None,
    ) -> None:
        self.settings = settings
        self._prepare = prepare
        self._is_plain = prepare is None and not settings.team  # nothing to do before a span is packed
        self._limit = settings.max_field_bytes
        self._transport = transport or self._http
        self._team = settings.team
        self._directory = writer.destination(settings)
        self.shipper_pid = 0
        self._warned = False
        self._memory = MemoryStore(
            settings.memory_mb << 20, self._transport, self._packed, interval_s=settings.ship_interval_s
        )
        self._reset()
        _recorders.add(self)

    def _reset(self) -> None:
        """The state of one process; a forked child starts anew."""
        self._lock = threading.RLock()
        self._busy = False
        self._late: list[bytes] = []
        self._recorded = 0
        self.sampled_out = 0
        self._dropped: dict[str, int] = {}
        self._next_check = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        resource_field = otlp.resource(_bounded(resource.describe(self.settings)))
        self._memory.start_anew(resource_field)
        self._journal: writer.Journal | None = None
        if self.settings.mode == "journal":
            limit = self.settings.journal_mb << 20
            self._journal = writer.Journal(self._directory, resource_field, limit)

    def after_fork(self) -> None:
        """In the child: what is recorded here so far is the parent's to ship."""
        if self._journal is not None:
            self._journal.forget()
        self._reset()

    def entry(self) -> Callable[[SpanFacts], None]:
        """What to call with each finished span: `take`, or the short way past it."""
        is_take = type(self).take is not Recorder.take or self._journal is not None
        return self.take if is_take else self._memory.put

    def _http(self) -> Connection:
        from spanledger.journal.transport import Transport  # 20 ms of imports, only needed in a thread

        settings = self.settings
        return Transport(settings.traces_url, settings.key, settings.request_timeout_s)

    def record(
        self,
        name: str,
        *,
        trace_id: bytes,
        span_id: bytes,
        start_time: int,
        end_time: int,
        parent_span_id: bytes = b"",
        attributes: Mapping[str, AttributeValue] | None = None,
        status: str = "ok",
        status_message: str = "",
        kind: str = "internal",
        events: Sequence[Event] = (),
        links: Sequence[Link] = (),
        trace_state: str = "",
        sampled: bool = True,
        scope: bytes = SCOPE,
    ) -> None:
        """Record one finished span from given facts.

        Args:
            name: The span's name.
            trace_id: 16 bytes (`spanledger.ids.new_trace_id`).
            span_id: 8 bytes (`spanledger.ids.new_span_id`).
            start_time: Nanoseconds since the epoch, UTC.
            end_time: The same; not before ``start_time``.
            parent_span_id: 8 bytes, or empty for a root.
            attributes: Names as in `spanledger.semconv`; None values are left out.
            status: ``ok``, ``error``, ``cut`` or ``cancelled`` (`spanledger.records.Status`).
            status_message: What went wrong, for people.
            kind: ``internal``, ``server``, ``client``, ``producer`` or ``consumer``.
            events: ``(name, time_ns, attributes)`` each.
            links: ``(trace_id, span_id, attributes, trace_state, flags)`` each.
            trace_state: W3C ``tracestate`` as it came.
            sampled: The W3C flag as it came.
            scope: The instrumentation scope, from `spanledger.otlp.scope`.
        """
        span = finished(
            name, trace_id, span_id, parent_span_id, (start_time, end_time), kind, status, sampled
        )
        span.attributes |= {k: v for k, v in attributes.items() if v is not None} if attributes else {}
        span.events, span.links = tuple(events), tuple(links)
        span.status_message, span.trace_state, span.scope = status_message, trace_state, scope
        self.take(span)

    def take(self, span: SpanFacts) -> None:
        """Record a finished span. Never raises; what cannot be kept is counted."""
        journal = self._journal
        if journal is None:
            self._memory.put(span)
            return
        try:
            payload = self._packed(span)
        except Exception as error:  # noqa: BLE001  the SDK's public face: a span must not break its caller
            self._lose("unencodable", error)
            return
        self._store(journal, (payload,), span.end_time)

    def take_all(self, spans: Sequence[SpanFacts]) -> None:
        """Record finished spans in one write. Never raises; what cannot be kept is counted."""
        journal = self._journal
        if journal is None:
            for span in spans:
                self._memory.put(span)
            return
        payloads: list[bytes] = []
        for span in spans:
            try:
                payloads.append(self._packed(span))
            except Exception as error:  # noqa: BLE001  the SDK's public face: a span must not break its caller
                self._lose("unencodable", error)
        if payloads:
            self._store(journal, payloads, spans[-1].end_time)

    def _store(self, journal: writer.Journal, payloads: Sequence[bytes], now: int) -> None:
        with self._lock:
            if self._busy:  # a signal handler or finaliser interrupted us inside the journal
                self._late += payloads
                return
            self._busy = True
            self._append(journal, payloads)
            while self._late:
                self._append(journal, [self._late.pop()])
            self._busy = False
        if now > self._next_check:
            self._next_check = now + _CHECK_NS
            self._ensure_shipper()

    def _ready(self, span: SpanFacts) -> None:
        if self._prepare is not None:
            self._prepare(span)
        if self._team and semconv.TEAM not in span.attributes:
            span.attributes[semconv.TEAM] = self._team

    def _packed(self, span: SpanFacts) -> bytes:
        if not self._is_plain:
            self._ready(span)
        payload = pack(span)
        if len(payload) > self._limit:  # some field may be too long; nothing to look for in a smaller span
            trimming.cut_fields(span, self._limit)
            payload = pack(span)
        return payload

    def _append(self, journal: writer.Journal, payloads: Sequence[bytes]) -> None:
        try:
            full = journal.append(*payloads)
            self._recorded += len(payloads)
            if full:
                poke(self._directory)
        except writer.JournalFull:
            self._recorded += len(payloads)
            self._count_drop("journal_full", len(payloads))
            if not self._warned:
                self._warned = True
                logger.warning(
                    "The journal %s is full (SPANLEDGER_JOURNAL_MB=%d); new spans are dropped and counted "
                    "until the collector takes the old ones.", self._directory, self.settings.journal_mb,
                )  # fmt: skip
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "The journal %s cannot be written (%s); spans are kept in memory, at most %d MB.",
                    self._directory, error.strerror or error, self.settings.memory_mb,
                )  # fmt: skip
            for payload in payloads:
                self._memory.put_payload(payload)

    def _lose(self, reason: str, error: Exception) -> None:
        with self._lock:
            self._recorded += 1
            self._count_drop(reason)
        logger.debug("span dropped (%s): %s", reason, error)

    def _count_drop(self, reason: str, spans: int = 1) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + spans

    def _ensure_shipper(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        if self.settings.shipper == "process" and self._transport == self._http and process.possible():
            if self.shipper_pid:
                process.reap(self.shipper_pid)
            if poke(self._directory) or not self._directory.is_dir():
                return
            try:
                self.shipper_pid = process.start(self._directory, self.settings)
                return
            except (OSError, NotImplementedError) as error:
                logger.info("No shipper process can be started (%s); a thread ships.", error)
        self._thread = threading.Thread(target=self._ship_in_thread, name="spanledger-shipper", daemon=True)
        self._thread.start()

    def _ship_in_thread(self) -> None:
        settings, connection = self.settings, self._transport()
        shipper = Shipper(
            self._directory,
            connection.post,
            interval_s=settings.ship_interval_s,
            max_age_s=settings.journal_max_age_s,
        )
        while not shipper.acquire():
            if self._closed or not self._directory.is_dir():
                return
            time.sleep(settings.ship_interval_s)
        try:
            shipper.run(lambda: self._closed, forever=True)
        finally:
            shipper.release()
            connection.close()

    def flush(self, timeout_s: float = 5.0, *, give_up_when_away: bool = False) -> bool:
        """Wait until all that was recorded is shipped, at most ``timeout_s`` seconds; whether it is."""
        deadline = time.monotonic() + timeout_s
        attempts, pause_s = self._last_status()[0], 0.002
        self._poke()
        while not self._drained():
            if time.monotonic() > deadline:
                return False
            now, status = self._last_status()
            if give_up_when_away and now > attempts and not 200 <= status < 300:
                return False
            time.sleep(pause_s)
            if pause_s < 0.05:
                pause_s *= 1.5
            else:
                self._poke()
        return True

    def _poke(self) -> None:
        self._memory.poke()
        if self._journal is not None and not self._journal.drained():
            self._ensure_shipper()
            poke(self._directory)

    def _drained(self) -> bool:
        with self._lock:
            return self._memory.drained() and (self._journal is None or self._journal.drained())

    def _last_status(self) -> tuple[int, int]:
        with self._lock:
            if self._journal is not None and not self._journal.drained():
                return self._journal.last_status()
        return self._memory.last_status()

    def counters(self) -> Counters:
        """What became of this process's spans so far."""
        with self._lock:
            in_memory, shipped, rejected = self._memory.totals()
            recorded = self._recorded + in_memory
            dropped = dict(self._dropped)
            if self._journal is not None:
                more, refused, expired = self._journal.totals()
                shipped, rejected = shipped + more, rejected + refused
                dropped |= {"expired": expired} if expired else {}
            for reason, count in (
                ("memory_full", self._memory.dropped),
                ("unencodable", self._memory.unencodable + dropped.get("unencodable", 0)),
                ("rejected", rejected),
            ):
                if count:
                    dropped[reason] = count
            return Counters(recorded, shipped, recorded - shipped - sum(dropped.values()), dropped)

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush within the exit time, let the journal's files go, and say what was dropped. Idempotent."""
        if self._closed:
            return True
        limit = self.settings.exit_timeout_s if timeout_s is None else timeout_s
        done = self.flush(limit, give_up_when_away=timeout_s is None)
        counts, (_, status) = self.counters(), self._last_status()
        if counts.dropped:
            total = sum(counts.dropped.values())
            logger.warning("%d of %d spans were dropped: %s", total, counts.recorded, counts.dropped)
        if counts.kept and self._journal is not None:
            logger.info(
                "%d spans wait in %s (last answer: %s)", counts.kept, self._directory, status or "none"
            )
        elif counts.kept:
            logger.warning("%d of %d spans were not shipped in time", counts.kept, counts.recorded)
        with self._lock:
            if self._journal is not None:
                self._journal.finish()
        self._closed = True
        self._memory.stop()
        if done or self._thread is None:
            poke(self._directory)
        return done

    @property
    def directory(self) -> Path:
        """The journal's folder."""
        return self._directory


def finished(
    name: str,
    trace_id: bytes,
    span_id: bytes,
    parent_span_id: bytes,
    times: tuple[int, int],
    kind: str,
    status: str,
    sampled: bool,
) -> FinishedSpan:
    """A finished span to fill and give to `Recorder.take_all`; what each argument is, `Recorder.record` says."""
    span = FinishedSpan()
    span.trace_id, span.span_id, span.parent_span_id = trace_id, span_id, parent_span_id
    span.name, span.kind = name, otlp.KINDS[kind]
    span.start_time, span.end_time = times
    span.attributes = {semconv.STATUS: status} if status in ("cut", "cancelled") else {}
    span.events, span.links = (), ()
    span.status_code, span.status_message = _STATUS.get(status, otlp.STATUS_UNSET), ""
    span.trace_state, span.flags, span.scope = "", int(sampled), SCOPE
    span.dropped = otlp.NOTHING_DROPPED
    return span


def _bounded(pairs: Mapping[str, str | int]) -> dict[str, str | int]:
    """As many resource attributes as a segment's header holds, ours last and therefore kept."""
    kept: dict[str, str | int] = {}
    for key, value in reversed(list(pairs.items())):
        if len(otlp.resource({**kept, key: value})) <= _RESOURCE_BYTES:
            kept[key] = value
    return kept


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _after_fork() -> None:
    for recorder in list(_recorders):
        recorder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
