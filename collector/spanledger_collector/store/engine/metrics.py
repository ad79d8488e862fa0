"""Outcomes of requests in; a Prometheus page out."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector

from .errors import EngineError


class Metrics:
    """This server's counters, in a registry of their own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        self._statements = Counter(
            "spanledger_engine_statements",
            "Requests answered, by ClickHouse's error code; 0 for success",
            ["code"],
            registry=registry,
        )
        self.left = Counter(
            "spanledger_engine_clients_left",
            "Clients that went away before their answer's end",
            registry=registry,
        )
        self._busy = Gauge("spanledger_engine_busy", "Requests that wait or run", registry=registry)
        self._buffered = Gauge(
            "spanledger_engine_buffered_bytes", "Bytes of requests held", registry=registry
        )

    def count(self, error: EngineError | None) -> None:
        """One request is answered."""
        self._statements.labels(str(error.code) if error is not None else "0").inc()

    def text(self, busy: int, buffered: int) -> bytes:
        """The page, in Prometheus's text format."""
        self._busy.set(busy)
        self._buffered.set(buffered)
        return generate_latest(self._registry)
