"""What tracing costs an application, as a ratio to OpenTelemetry's own SDK; and what is lost when things go wrong.

``python -m tests.benchmarks.sdk [--rounds 5] [--calls 3000] [--only costs|chunks|bursts]``. Ways to trace take turns
in each round, each in a process of its own, so that a busy machine meets them all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile

import spanledger
from tests.benchmarks.report import Figure, at_most, report
from tests.benchmarks.sdk import bursts, chunks

PACED_S = 0.001
WAYS = ("bare", "otel", "memory", "journal", "api-memory", "api")
IMPORT_OTEL = (
    "import opentelemetry.sdk.trace, opentelemetry.sdk.trace.export, "
    "opentelemetry.exporter.otlp.proto.http.trace_exporter"
)
IMPORT_OURS = "import spanledger; spanledger.init, spanledger.observe, spanledger.wrap"


def measure(way: str, url: str, calls: int, pace_s: float) -> dict[str, float]:
    """One way in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.sdk.workload", way, url, str(calls), str(pace_s)],
            cwd=bursts.ROOT, env={**os.environ, "SPANLEDGER_HOME": home}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def rounds(
    count: int, calls: int, pace_s: float, ways: tuple[str, ...] = WAYS
) -> dict[str, dict[str, float]]:
    """Medians over the rounds, of what each way costs above the untraced work."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with bursts.sink() as url:
        for _ in range(count):
            for way in random.sample(ways, len(ways)):  # no way always follows the same one
                found[way].append(measure(way, url, calls, pace_s))

    def median(way: str, name: str) -> float:
        return statistics.median(each[name] for each in found[way])

    names = ("p50_us", "process_us")
    return {way: {name: median(way, name) - median("bare", name) for name in names} for way in ways}


def import_cpu_s(program: str, times: int = 9) -> float:
    """CPU of a process that imports this and ends, above one that imports nothing."""

    def once(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return statistics.median(once(program) - once("pass") for _ in range(times))


def costs(count: int, calls: int) -> list[Figure]:
    """Ratios to the OpenTelemetry SDK."""
    paced = rounds(count, calls, PACED_S)
    hot = rounds(count, calls * 2, 0.0)

    def ratio(found: dict[str, dict[str, float]], way: str, name: str = "p50_us") -> float:
        return found[way][name] / found["otel"][name]

    imports = import_cpu_s(IMPORT_OURS) / import_cpu_s(IMPORT_OTEL)
    return [
        Figure("OpenTelemetry SDK, caller p50, paced", f"{paced['otel']['p50_us']:.1f} us"),
        Figure("OpenTelemetry SDK, caller p50, hot", f"{hot['otel']['p50_us']:.1f} us"),
        at_most("decorated call, memory, caller p50, paced", ratio(paced, "memory"), 0.30, "x"),
        at_most("decorated call, memory, caller p50, hot", ratio(hot, "memory"), 0.30, "x"),
        at_most("decorated call, journal, caller p50, paced", ratio(paced, "journal"), 0.70, "x"),
        at_most("decorated call, journal, caller p50, hot", ratio(hot, "journal"), 0.40, "x"),
        at_most("process with shipper, memory, paced", ratio(paced, "memory", "process_us"), 0.40, "x"),
        at_most("process with shipper, journal, hot", ratio(hot, "journal", "process_us"), 0.40, "x"),
        at_most("process with shipper, journal, paced", ratio(paced, "journal", "process_us"), 0.40, "x"),
        at_most("unchanged OpenTelemetry code, memory, paced", ratio(paced, "api-memory"), 0.60, "x"),
        at_most("unchanged OpenTelemetry code, journal, hot", ratio(hot, "api"), 0.60, "x"),
        at_most("unchanged OpenTelemetry code, journal, paced", ratio(paced, "api"), 0.60, "x"),
        at_most("import, CPU", imports, 1.0, "x"),
    ]


def per_chunk() -> list[Figure]:
    """What wrapping adds to a stream."""
    with tempfile.TemporaryDirectory() as home:
        spanledger.init(endpoint="http://127.0.0.1:9", home=home, mode="memory")
        base, added = chunks.per_chunk_us()
        spanledger.shutdown(0)
    return [
        Figure("plain openai client per streamed chunk", f"{base:.1f} us"),
        at_most("wrapped openai client adds per streamed chunk", added, 10, " us"),
    ]


def losses() -> list[Figure]:
    """Of 20,000 spans, how many never arrive."""
    figures = [at_most("lost, collector down, killed, collector back", bursts.lost_while_down(), 0)]
    slow, took_s = bursts.lost_while_slow()
    figures += [
        at_most("lost, collector takes 2 s for each answer", slow, 0),
        Figure("  the application left after", f"{took_s:.1f} s"),
    ]
    for name, way in (
        ("SIGTERM", "sigterm"), ("os._exit", "os_exit"), ("kill -9", "kill_9"), ("os.fork", "fork"),
        ("multiprocessing, fork and spawn", "processes"),
    ):  # fmt: skip
        figures.append(at_most(f"lost, {name}", bursts.lost_at_exit(way), 0))
    figures.append(at_most("lost, gunicorn prefork, killed (of 2,000)", bursts.lost_with_gunicorn(), 0))
    figures.append(
        at_most("exit while the collector hangs", bursts.exit_while_hanging_s(), 5, " s"),
    )
    growth = measure("journal", "http://127.0.0.1:9", bursts.COUNT, 0.0)["rss_growth_mb"]
    figures.append(at_most("RSS growth, 20,000 spans while down, journal", growth, 30, " MB"))
    memory = measure("memory", "http://127.0.0.1:9", bursts.COUNT, 0.0)["rss_growth_mb"]
    figures.append(at_most("RSS growth, 20,000 spans while down, memory", memory, 30, " MB"))
    return figures


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.sdk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--only", choices=["costs", "chunks", "bursts"])
    options = parser.parse_args()
    figures: list[Figure] = []
    if options.only in (None, "costs"):
        figures += costs(options.rounds, options.calls)
    if options.only in (None, "chunks"):
        figures += per_chunk()
    if options.only in (None, "bursts"):
        figures += losses()
    return report(figures)


if __name__ == "__main__":
    raise SystemExit(main())
