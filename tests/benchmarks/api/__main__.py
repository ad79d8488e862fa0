"""Schemathesis against the query API on a real store: no 5xx, and every answer as OpenAPI describes it.

``make bench-api`` (``SPANLEDGER_BENCH_EXAMPLES`` a path, default 50; about three minutes).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import redis
import uvicorn

from spanledger_collector.api.app import build
from spanledger_collector.store.client import connect, connect_reader
from spanledger_collector.store.kept_answers import KeptAnswers
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.process import rss_bytes
from tests.benchmarks.reads.generate import generate
from tests.benchmarks.report import Figure, at_least, at_most, report
from tests.servers import Engine, free_port, start_engine, valkey

KEY = "sl_bootstrap_benchmark"
ROWS = 50_000
# What the paths refuse beyond what a schema can say (a window that ends before it starts), and names
# that end in /history, are no faults.
NO_FAULTS = "positive_data_acceptance,unsupported_method,allow_header_conformance"


@contextmanager
def served(url: str, redis_url: str) -> Generator[str]:
    """The API on a free port over the store and the broker."""
    settings = StoreSettings(clickhouse_url=url)
    migrate(settings)
    writer = connect(settings)
    generate(writer, ROWS, time.time_ns())
    registry = Registry(writer)
    keys = KeyDirectory(registry, KEY)
    keys.start()
    port = free_port()
    broker = redis.Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    app = build(connect_reader(settings), registry, keys, KeptAnswers(broker))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        keys.stop()


@contextmanager
def closing_engine(engine: Engine) -> Generator[None]:
    """Stop the engine at the end."""
    try:
        yield
    finally:
        engine.server.stop()


def schemathesis(url: str, examples: int) -> str:
    """Run it; what it printed."""
    argv = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json"),
        *("-H", f"Authorization: Bearer {KEY}", "--exclude-checks", NO_FAULTS),
        *("--max-examples", str(examples), "--workers", "1", "--continue-on-failure"),
        *("--phases", "coverage,fuzzing,stateful"),
    ]
    with tempfile.TemporaryDirectory() as folder:  # it leaves its cache where it runs
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1800, cwd=folder)
    return run.stdout


def figures(output: str, growth: int) -> list[Figure]:
    """What the run found."""
    cases = re.search(r"(\d+) generated", output)
    server_errors = len(re.findall(r"Server error|\b5\d\d\] ", output))
    found = re.search(r"(\d+) unique failure", output)
    return [
        at_least("cases", int(cases[1]) if cases else 0, 1000, digits=0),
        at_most("answers with 5xx", server_errors, 0, digits=0),
        at_most("answers that break the description", int(found[1]) if found else 0, 0, digits=0),
        at_most("growth of the API's memory", growth / 2**20, 200, " MiB", 0),
    ]


def main() -> int:
    """Measure and report."""
    examples = int(os.environ.get("SPANLEDGER_BENCH_EXAMPLES", "50"))
    with tempfile.TemporaryDirectory() as home:
        engine = start_engine(Path(home))
        with (
            closing_engine(engine),
            valkey(Path(home)) as broker,
            served(f"{engine.url}/bench", broker) as url,
        ):
            schemathesis(url, 5)  # what is imported and cached on first use is no growth
            before = rss_bytes(os.getpid())
            output = schemathesis(url, examples)
            growth = rss_bytes(os.getpid()) - before
    code = report(figures(output, growth))
    if code:
        print(output)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
