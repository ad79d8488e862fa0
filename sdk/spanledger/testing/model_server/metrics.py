"""vLLM's ``/metrics``: what the stand-in served in, Prometheus text under vLLM 0.32's names out."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from spanledger.testing.model_server.reply import Usage
from spanledger.testing.model_server.tokens import BLOCK_TOKENS

_LABELS = ("engine", "model_name")
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_STEP = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10, 20, 40, 80)
_FIRST = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
_REQUEST = (0.3, 0.5, 0.8, 1.0, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
KV_BLOCKS = 4096


class EngineMetrics:
    """The counters, gauges and histograms of one simulated engine."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.running = self._gauge("num_requests_running", "Requests in model execution batches.")
        self.waiting = self._gauge("num_requests_waiting", "Requests waiting to be processed.")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        self._sleep = self._gauge("engine_sleep_state", "Engine sleep state.", "sleep_state")
        self._waiting_why = self._gauge("num_requests_waiting_by_reason", "Waiting, by reason.", "reason")
        self._cache_config = self._gauge(
            "cache_config_info", "Information of the LLMEngine CacheConfig", "block_size", "num_gpu_blocks"
        )
        self._prompt = self._counter("prompt_tokens", "Prefill tokens processed.")
        self._generated = self._counter("generation_tokens", "Generation tokens processed.")
        self._by_source = self._counter("prompt_tokens_by_source", "Prompt tokens by source.", "source")
        self._cached = self._counter("prompt_tokens_cached", "Cached prompt tokens.")
        self._queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        self._hits = self._counter("prefix_cache_hits", "Prefix cache hits, in tokens.")
        self._preemptions = self._counter("num_preemptions", "Preemptions of the engine.")
        self._finished = self._counter("request_success", "Processed requests.", "finished_reason")
        self._histograms(_TOKENS, _STEP, _FIRST, _REQUEST)

    def _histograms(
        self, tokens: Sequence[float], step: Sequence[float], first: Sequence[float], request: Sequence[float]
    ) -> None:
        self._request_prompt = self._histogram("request_prompt_tokens", tokens)
        self._request_generated = self._histogram("request_generation_tokens", tokens)
        self._ttft = self._histogram("time_to_first_token_seconds", first)
        self._inter_token = self._histogram("inter_token_latency_seconds", step)
        self._per_token = self._histogram("request_time_per_output_token_seconds", step)
        self._e2e = self._histogram("e2e_request_latency_seconds", request)
        self._queue = self._histogram("request_queue_time_seconds", request)
        self._inference = self._histogram("request_inference_time_seconds", request)
        self._prefill = self._histogram("request_prefill_time_seconds", request)
        self._decode = self._histogram("request_decode_time_seconds", request)

    def declare(self, model: str) -> None:
        """Make a model's series exist at zero, as they do from an engine's start."""
        labels = {"engine": "0", "model_name": model}
        for plain in (self.running, self.waiting, self.kv_usage, self._prompt, self._generated):
            plain.labels(**labels)
        for plain in (self._cached, self._queries, self._hits, self._preemptions):
            plain.labels(**labels)
        for source in ("local_compute", "local_cache_hit", "external_kv_transfer"):
            self._by_source.labels(**labels, source=source)
        for reason in ("stop", "length", "abort", "error", "repetition"):
            self._finished.labels(**labels, finished_reason=reason)
        for why in ("capacity", "deferred"):
            self._waiting_why.labels(**labels, reason=why)
        for state in ("awake", "weights_offloaded", "discard_all"):
            self._sleep.labels(**labels, sleep_state=state).set(state == "awake")
        blocks = {"block_size": str(BLOCK_TOKENS), "num_gpu_blocks": str(KV_BLOCKS)}
        self._cache_config.labels(**labels, **blocks).set(1)

    def load(self, model: str, running: int, waiting: int, kv_tokens: int) -> None:
        """Set the gauges of a model."""
        labels = {"engine": "0", "model_name": model}
        self.running.labels(**labels).set(running)
        self.waiting.labels(**labels).set(waiting)
        self._waiting_why.labels(**labels, reason="capacity").set(waiting)
        self.kv_usage.labels(**labels).set(min(1.0, kv_tokens / (KV_BLOCKS * BLOCK_TOKENS)))

    def prefilled(self, model: str, used: Usage) -> None:
        """Count a prompt once it was read."""
        labels = {"engine": "0", "model_name": model}
        self._prompt.labels(**labels).inc(used.prompt)
        self._by_source.labels(**labels, source="local_compute").inc(used.prompt - used.cache_read)
        self._by_source.labels(**labels, source="local_cache_hit").inc(used.cache_read)
        self._cached.labels(**labels).inc(used.cache_read)
        self._queries.labels(**labels).inc(used.prompt)
        self._hits.labels(**labels).inc(used.cache_read)
        self._request_prompt.labels(**labels).observe(used.prompt)

    def finished(self, model: str, reason: str, generated: int, times: tuple[float, float, float]) -> None:
        """Count a request at its end; ``times`` are seconds queued, to the first token, in all."""
        labels = {"engine": "0", "model_name": model}
        queued, first, total = times
        decode = max(0.0, total - first)
        self._finished.labels(**labels, finished_reason=reason).inc()
        self._generated.labels(**labels).inc(generated)
        self._request_generated.labels(**labels).observe(generated)
        self._ttft.labels(**labels).observe(first)
        self._e2e.labels(**labels).observe(total)
        self._queue.labels(**labels).observe(queued)
        self._inference.labels(**labels).observe(max(0.0, total - queued))
        self._prefill.labels(**labels).observe(max(0.0, first - queued))
        self._decode.labels(**labels).observe(decode)
        if generated > 1:
            self._per_token.labels(**labels).observe(decode / (generated - 1))
            for _ in range(generated - 1):
                self._inter_token.labels(**labels).observe(decode / (generated - 1))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"vllm:{name}", text, (*_LABELS, *labels), registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, (*_LABELS, *labels), registry=self._registry)

    def _histogram(self, name: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            f"vllm:{name}", f"Histogram of {name}.", _LABELS, buckets=buckets, registry=self._registry
        )
