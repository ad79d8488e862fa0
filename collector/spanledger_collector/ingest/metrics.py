"""What ingestion counts about itself, for /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One set of instruments in a registry of its own, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter(
            "received", "Spans or log records received, before any check.", "signal"
        )
        self.accepted = self._counter("accepted", "Spans or log records acknowledged.", "signal")
        self.rejected = self._counter(
            "rejected", "Spans or log records in accepted requests, not stored.", "reason"
        )
        self.refused = self._counter("refused_requests", "Requests not acknowledged.", "reason")
        self.stored = self._counter("stored_spans", "Spans written to the store.")
        self.duplicated = self._counter("duplicated_spans", "Spans that were stored already.")
        self.repeated = self._counter(
            "repeated_calls", "Model calls told by a second span, not billed again."
        )
        self.unpriced = self._counter("unpriced_calls", "Billable calls with usage and without a price.")
        self.redacted = self._counter("redactions", "Pieces of content replaced.")
        self.scores = self._counter("stored_scores", "Scores written to the store.")
        self.clamped = self._counter(
            "clamped_times", "Spans whose start could not be meant; arrival was taken."
        )
        self.dead = self._counter("dead_letters", "Requests or rows set aside.", "reason")
        self.unasked = self._counter(
            "unasked_turns", "Batches written without asking other collectors: Redis was away."
        )
        self.insert_errors = self._counter("insert_errors", "Failed inserts, by what follows.", "outcome")
        self.insert_seconds = self._histogram("insert_seconds", "Time of one insert.")
        self.ack_seconds = self._histogram("ack_seconds", "Time from a whole request to its acknowledgement.")
        self.lag_seconds = self._histogram(
            "visible_lag_seconds", "Time from a span's end until it can be queried."
        )
        self.spool_bytes = Gauge(
            "spanledger_ingest_spool_bytes", "Acknowledged and not yet in the store.", registry=self.registry
        )
        self.spool_segments = Gauge(
            "spanledger_ingest_spool_segments", "Sealed spool files that wait.", registry=self.registry
        )
        self.spool_age = Gauge(
            "spanledger_ingest_spool_age_seconds",
            "Age of the oldest request that waits.",
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"spanledger_ingest_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"spanledger_ingest_{name}", text, buckets=_SECONDS, registry=self.registry)
