"""GPU metering: what vLLM engines (and DCGM exporters) say on ``/metrics`` in; rows of ``engine_samples`` out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.finance import GpuPool
from spanledger_collector.store.registry.serving import Upstream
from spanledger_collector.store.writes_evaluation import EngineSample, insert_engine_samples

TIMEOUT_S = 5.0
AT_ONCE = 16
LARGEST_BYTES = 4 * 1024 * 1024
MISSED = Counter(
    "spanledger_worker_scrapes_missed_total", "Engines that did not answer a scrape.", ["upstream"]
)

_VLLM = "vllm:"
# What vLLM called it before -> what it calls it now; stored under the newer name.
_RENAMED = {
    "gpu_cache_usage_perc": "kv_cache_usage_perc",
    "gpu_prefix_cache_hits_total": "prefix_cache_hits_total",
    "gpu_prefix_cache_queries_total": "prefix_cache_queries_total",
    "time_per_output_token_seconds_sum": "request_time_per_output_token_seconds_sum",
    "time_per_output_token_seconds_count": "request_time_per_output_token_seconds_count",
}
_KEPT = frozenset(
    {
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prompt_tokens_total",
        "generation_tokens_total",
        "prompt_tokens_cached_total",
        "prefix_cache_hits_total",
        "prefix_cache_queries_total",
        "num_preemptions_total",
        "request_success_total",
        *(
            f"{name}_{part}"
            for name in (
                "request_prefill_time_seconds",
                "request_decode_time_seconds",
                "request_queue_time_seconds",
                "request_inference_time_seconds",
                "time_to_first_token_seconds",
                "e2e_request_latency_seconds",
            )
            for part in ("sum", "count")
        ),
    }
)
_DCGM = {
    "DCGM_FI_DEV_GPU_UTIL": "gpu_utilisation_percent",
    "DCGM_FI_DEV_FB_USED": "gpu_memory_used_mib",
    "DCGM_FI_DEV_POWER_USAGE": "gpu_power_watts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One address to scrape, and the pool its samples belong to."""

    project: str
    upstream: str
    gpu_pool: str
    url: str


def engines(
    upstreams: Sequence[tuple[str, str, Upstream]], pools: Sequence[tuple[str, str, GpuPool]]
) -> list[Engine]:
    """The engines among the upstreams: those of protocol ``vllm`` and those with a ``metrics_url``."""
    owners = {(project, name): pool for project, pool, document in pools for name in document.upstreams}
    found: list[Engine] = []
    for project, name, document in upstreams:
        if document.protocol != "vllm" and not document.metrics_url:
            continue
        pool = document.gpu_pool or owners.get((project, name)) or owners.get(("*", name), "")
        parts = urlsplit(document.base_url)
        url = document.metrics_url or f"{parts.scheme}://{parts.netloc}/metrics"
        found.append(Engine(project=project, upstream=name, gpu_pool=pool, url=url))
    return found


def read_samples(text: str) -> dict[tuple[str, str], float]:
    """Values by model and metric of one scrape; engines of one address and reasons of one metric are summed.

    ``kv_cache_usage_perc`` and DCGM's gauges are averaged instead. Raises ValueError for other text.
    """
    sums: dict[tuple[str, str], list[float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metric = _metric(sample.name)
            if metric and math.isfinite(sample.value):
                model = str(sample.labels.get("model_name") or "")
                sums.setdefault((model, metric), []).append(float(sample.value))
    return {key: sum(values) / (len(values) if _is_level(key[1]) else 1) for key, values in sums.items()}


def meter(store: Client, wanted: Iterable[Engine], now: int) -> int:
    """Scrape every engine and store its samples; an engine that does not answer is counted and left out."""
    rows: list[EngineSample] = []
    with (
        httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,  # an engine that hangs holds up no other
    ):
        asked = [(engine, threads.submit(_text, client, engine.url)) for engine in wanted]
        for engine, answer in asked:
            try:
                found = read_samples(answer.result())
            except (httpx.HTTPError, ValueError):
                MISSED.labels(engine.upstream).inc()
                continue
            rows += [
                EngineSample(
                    project=engine.project,
                    gpu_pool=engine.gpu_pool,
                    upstream=engine.upstream,
                    time=now // 1_000_000,
                    model=model,
                    metric=metric,
                    value=value,
                )
                for (model, metric), value in found.items()
            ]
    insert_engine_samples(store, rows)
    return len(rows)


def _text(client: httpx.Client, url: str) -> str:
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > LARGEST_BYTES:
                raise ValueError(f"more than {LARGEST_BYTES} bytes of metrics")
    return body.decode("utf-8", "replace")


def _metric(name: str) -> str:
    if name in _DCGM:
        return _DCGM[name]
    if not name.startswith(_VLLM):
        return ""
    short = name.removeprefix(_VLLM)
    short = _RENAMED.get(short, short)
    return short if short in _KEPT else ""


def _is_level(metric: str) -> bool:
    return metric == "kv_cache_usage_perc" or metric.startswith("gpu_")
