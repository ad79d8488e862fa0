"""A vLLM engine's ``/metrics`` text in, how busy it is out. Knows the names of old and new versions.

Renamed over time: ``gpu_cache_usage_perc`` became ``kv_cache_usage_perc``, ``gpu_prefix_cache_*`` became
``prefix_cache_*``; ``gpu_prefix_cache_hit_rate`` was a gauge before there were counters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{[^}]*\})?\s+(\S+)", re.MULTILINE)
_WANTED = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": "kv",
    "gpu_cache_usage_perc": "kv",
    "prefix_cache_hits_total": "hits",
    "gpu_prefix_cache_hits_total": "hits",
    "prefix_cache_queries_total": "queries",
    "gpu_prefix_cache_queries_total": "queries",
    "gpu_prefix_cache_hit_rate": "rate",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class Engine:
    """How busy an engine is; None where its version does not tell.

    ``kv_usage`` and ``prefix_hits`` are shares of 1: of the KV cache in use, and of prompt tokens found in
    the prefix cache since the engine started. Several engines behind one address count together.
    """

    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None
    prefix_hits: float | None = None

    @property
    def load(self) -> float:
        """Requests it has to work on."""
        return (self.running or 0) + (self.waiting or 0)


def read(text: str) -> Engine:
    """Read a scrape; a text without vLLM's metrics gives an Engine of unknowns."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        if kind := _WANTED.get(name):
            number = _number(value)
            if number is not None:
                found.setdefault(kind, []).append(number)
    queries = sum(found.get("queries", ()))
    rate = found.get("rate")
    if queries > 0:
        hits: float | None = sum(found.get("hits", ())) / queries
    else:
        hits = sum(rate) / len(rate) if rate else None
    kv = found.get("kv")
    return Engine(
        running=int(sum(found["running"])) if "running" in found else None,
        waiting=int(sum(found["waiting"])) if "waiting" in found else None,
        kv_usage=sum(kv) / len(kv) if kv else None,
        prefix_hits=hits,
    )


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
