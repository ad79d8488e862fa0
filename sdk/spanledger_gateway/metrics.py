"""What the gateway counts; ``GET /metrics`` shows it in Prometheus' text format."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "spanledger_gateway_requests", "Requests by endpoint and HTTP status.", ["endpoint", "status"]
)
ATTEMPTS = Counter(
    "spanledger_gateway_attempts",
    "Calls to upstreams by outcome (ok or why it failed).",
    ["upstream", "outcome"],
)
FALLBACKS = Counter(
    "spanledger_gateway_fallbacks", "Requests answered by another target than the first.", ["route"]
)
STREAMS = Counter("spanledger_gateway_streams", "Streams by how they ended.", ["status"])
CACHE = Counter("spanledger_gateway_cache", "Cache look-ups by result.", ["result"])
REFUSED = Counter(
    "spanledger_gateway_refused", "Requests refused before any upstream, by reason.", ["reason"]
)
UNPRICED = Counter("spanledger_gateway_unpriced", "Calls whose cost is unknown.", ["model"])
ESTIMATED = Counter(
    "spanledger_gateway_usage_estimated", "Calls whose usage had to be estimated.", ["upstream"]
)
REDIS_ERRORS = Counter("spanledger_gateway_redis_errors", "Redis commands that failed.", ["use"])
UNSETTLED = Counter("spanledger_gateway_unsettled", "Settlements dropped because Redis stayed away too long.")
SNAPSHOT_ERRORS = Counter(
    "spanledger_gateway_snapshot_errors", "Snapshots that could not be fetched or read."
)
ENGINE_ERRORS = Counter(
    "spanledger_gateway_engine_errors", "Engines' metrics that could not be read.", ["engine"]
)
HOOKS = Counter(
    "spanledger_gateway_hooks", "Hooks that blocked, broke or took too long.", ["hook", "outcome"]
)
SHADOWS = Counter("spanledger_gateway_shadows", "Shadow calls by outcome.", ["outcome"])
RECORDING_ERRORS = Counter("spanledger_gateway_recording_errors", "Calls that could not be recorded.")
IN_FLIGHT = Gauge("spanledger_gateway_in_flight", "Requests being served.", multiprocess_mode="livesum")
REDIS_UP = Gauge("spanledger_gateway_redis_up", "1 while Redis answers.", multiprocess_mode="livemin")
COOLING = Gauge(
    "spanledger_gateway_cooling", "1 while a target cools down.", ["target"], multiprocess_mode="livemax"
)
OVERHEAD = Histogram(
    "spanledger_gateway_first_answer_seconds",
    "From the request to the first byte of its answer, by endpoint.",
    ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


_tally: defaultdict[Counter, int] = defaultdict(int)


def count(family: Counter, *values: str) -> None:
    """Count one on a call's way; ``flush`` adds it to what is shown."""
    _tally[child(family, *values)] += 1


def flush() -> None:
    """Add what was counted since the last time."""
    for counter, number in _tally.items():
        counter.inc(number)
    _tally.clear()


@lru_cache(maxsize=4096)
def timing(endpoint: str) -> Histogram:
    """The endpoint's child of ``OVERHEAD``."""
    return OVERHEAD.labels(endpoint)


@lru_cache(maxsize=4096)
def child(family: Counter, *values: str) -> Counter:
    """One labelled counter; looking it up in the family costs more than counting."""
    return family.labels(*values)
