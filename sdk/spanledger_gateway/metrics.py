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
CACHE_HITS = Counter("spanledger_cache_hits", "Calls that a cache answered, by tier.", ["tier"])
CACHE_MISSES = Counter(
    "spanledger_cache_misses",
    "Calls that no cache answered, by the reason of the last tier asked.",
    ["reason"],
)
CACHE_WOULD_HITS = Counter(
    "spanledger_cache_would_hits",
    "Neighbours that were not served, by reason (closed, group, threshold).",
    ["reason"],
)
CACHE_GUARDS = Counter("spanledger_cache_guard_refusals", "Neighbours that a guard refused.", ["guard"])
CACHE_NOT_KEPT = Counter("spanledger_cache_not_kept", "Answers that were not kept, by reason.", ["reason"])
CACHE_EVICTIONS = Counter(
    "spanledger_cache_evictions", "Entries dropped before their time, by reason.", ["reason"]
)
CACHE_FOLLOWERS = Counter(
    "spanledger_cache_followers", "Calls that waited for the same request in flight, by outcome.", ["outcome"]
)
CACHE_AUDITS = Counter(
    "spanledger_cache_audits", "Semantic hits asked upstream again, by outcome.", ["outcome"]
)
CACHE_ENTRIES = Gauge(
    "spanledger_cache_entries", "Entries that can be found by meaning.", ["route"], multiprocess_mode="max"
)
CACHE_OPEN = Gauge(
    "spanledger_cache_open",
    "1 while a route's semantic tier serves hits.",
    ["route"],
    multiprocess_mode="max",
)
CACHE_EMBED = Histogram(
    "spanledger_cache_embed_seconds",
    "Time to embed a question.",
    buckets=(0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 1),
)
REFUSED = Counter(
    "spanledger_gateway_refused", "Requests refused before any upstream, by reason.", ["reason"]
)
UNPRICED = Counter("spanledger_gateway_unpriced", "Calls whose cost is unknown.", ["model"])
ESTIMATED = Counter(
    "spanledger_gateway_usage_estimated", "Calls whose usage had to be estimated.", ["upstream"]
)
LEFT_OUT = Counter(
    "spanledger_gateway_left_out", "Fields that a translated request could not say.", ["endpoint", "field"]
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
_times: list[tuple[str, float]] = []


def count(family: Counter, *values: str) -> None:
    """Count one on a call's way; ``flush`` adds it to what is shown."""
    _tally[child(family, *values)] += 1


def took(endpoint: str, seconds: float) -> None:
    """Note how long a first answer took; ``flush`` adds it to what is shown."""
    _times.append((endpoint, seconds))


def flush() -> None:
    """Add what was counted since the last time."""
    for endpoint, seconds in _times:
        timing(endpoint).observe(seconds)
    _times.clear()
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
