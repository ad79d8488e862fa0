"""The application under measurement: one model call a second or flat out, traced in one of several ways.

Run as a process of its own, so that imports, threads and memory are those of one way only. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = "the ledger of every call that a model answers, its prompt, tokens, cost and latency; "
PROMPT = (WORDS * 40)[:2048]
ANSWER = (WORDS[::-1] * 40)[:1024]
MESSAGES = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": PROMPT}]
USAGE = {"input_tokens": 512, "output_tokens": 256, "cache_read_tokens": 128, "reasoning_tokens": 32}
TAGS = ["prod", "search", "v2"]

Call = Callable[[list[dict[str, str]]], str]


def model(messages: list[dict[str, str]]) -> str:
    """The work that is traced."""
    return ANSWER if messages else ""


def otel_code(tracer: Any) -> Call:
    """What an application writes on the OpenTelemetry API, content and usage included."""

    def call(messages: list[dict[str, str]]) -> str:
        with tracer.start_as_current_span("chat gpt-4o") as span:
            answer = model(messages)
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.response.model": "gpt-4o-2024-08-06",
                    "gen_ai.response.id": "chatcmpl-123",
                    "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.request.temperature": 0.2,
                    "gen_ai.usage.input_tokens": 512,
                    "gen_ai.usage.output_tokens": 256,
                    "gen_ai.usage.cache_read.input_tokens": 128,
                    "gen_ai.usage.reasoning.output_tokens": 32,
                    "user.id": "user-17",
                    "session.id": "session-4",
                    "spanledger.tags": TAGS,
                    "gen_ai.input.messages": json.dumps(messages),
                    "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": answer}]),
                }
            )
        return answer

    return call


def bare() -> tuple[Call, Callable[[], Any]]:
    """No tracing."""
    return model, lambda: {}


def otel(endpoint: str) -> tuple[Call, Callable[[], Any]]:
    """OpenTelemetry's own SDK with its OTLP exporter, as its documentation sets it up."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    return otel_code(trace.get_tracer("app")), lambda: provider.shutdown() or {}


def ours(endpoint: str, mode: Any, *, api: bool = False) -> tuple[Call, Callable[[], Any]]:
    """The decorator, or unchanged code on the OpenTelemetry API."""
    import spanledger
    from spanledger import runtime

    spanledger.init(endpoint=endpoint, mode=mode)

    def finish() -> dict[str, Any]:
        done = spanledger.flush(30)
        shipper = _cpu_of(runtime.current().recorder.shipper_pid)
        counts = spanledger.counters()
        return {"flushed": done, "shipper_s": shipper, "counts": counts._asdict()}

    if api:
        from opentelemetry import trace

        return otel_code(trace.get_tracer("app")), finish

    @spanledger.observe(name="chat gpt-4o", operation="chat")
    def call(messages: list[dict[str, str]]) -> str:
        answer = model(messages)
        spanledger.update(
            user_id="user-17",
            session_id="session-4",
            tags=TAGS,
            provider="openai",
            model="gpt-4o",
            response_model="gpt-4o-2024-08-06",
            usage=USAGE,
            attributes={
                "gen_ai.response.id": "chatcmpl-123",
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.request.temperature": 0.2,
            },
        )
        return answer

    return call, finish


def _cpu_of(pid: int) -> float:
    """Seconds on a CPU of another process, its start included; 0 when there is none."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 if pid else 0.0
    except OSError:
        return 0.0


def ways(endpoint: str) -> dict[str, Callable[[], tuple[Call, Callable[[], Any]]]]:
    """Every way to trace, by its name."""
    return {
        "bare": bare,
        "otel": lambda: otel(endpoint),
        "memory": lambda: ours(endpoint, "memory"),
        "journal": lambda: ours(endpoint, "journal"),
        "api": lambda: ours(endpoint, "journal", api=True),
        "api-memory": lambda: ours(endpoint, "memory", api=True),
    }


def rss_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(way: str, endpoint: str, count: int, pace_s: float) -> None:
    """Run and report."""
    call, finish = ways(endpoint)[way]()
    for _ in range(200):
        call(MESSAGES)
    costs: list[int] = []
    before_rss, before, started = rss_mb(), time.process_time(), time.perf_counter()
    for _ in range(count):
        begun = time.thread_time_ns()
        call(MESSAGES)
        costs.append(time.thread_time_ns() - begun)
        if pace_s:
            time.sleep(pace_s)
    took_s, after_rss = time.perf_counter() - started, rss_mb()
    extra = finish()
    own_s = time.process_time() - before
    print(
        json.dumps(
            {
                "p50_us": statistics.median(costs) / 1e3,
                "p99_us": sorted(costs)[int(count * 0.99)] / 1e3,
                "process_us": (own_s + extra.get("shipper_s", 0.0)) / count * 1e6,
                "took_s": took_s,
                "rss_growth_mb": after_rss - before_rss,
                **extra,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
