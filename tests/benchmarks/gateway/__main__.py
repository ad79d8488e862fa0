"""``python -m tests.benchmarks.gateway``: cost beside nginx, streams, memory, budget races, chaos."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.gateway.budgets import race
from tests.benchmarks.gateway.chaos import chaos
from tests.benchmarks.gateway.rig import (
    Load,
    MissingToolError,
    gateway,
    nginx,
    reverse_proxy,
    snapshot,
    static_upstream,
    tool,
    wrk,
)
from tests.benchmarks.gateway.streams import streams
from tests.benchmarks.process import cpu_s, rss_bytes
from tests.benchmarks.report import Figure, at_most, report
from tests.servers import free_port, valkey


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu(pid: int) -> float:
    return sum(cpu_s(one) for one in _family(pid))


def _loaded(folder: Path, pid: int, port: int, connections: int, seconds: int) -> tuple[Load, float]:
    """What wrk saw, and the CPU of the process and its children in us a request."""
    before = _cpu(pid)
    load = wrk(folder, port, connections, seconds)
    if load.errors:
        raise RuntimeError(f"{load.errors} of {load.requests} requests failed")
    return load, (_cpu(pid) - before) / load.requests * 1e6


def proxying(folder: Path, redis_url: str, rounds: int, seconds: int) -> list[Figure]:
    """The gateway beside nginx as a reverse proxy, in turn; medians over the rounds."""
    up, passing = free_port(), free_port()
    ratios: list[float] = []
    added: list[float] = []
    ours: list[float] = []
    with (
        nginx(folder, "upstream", static_upstream(up), up),
        nginx(folder, "proxy", reverse_proxy(passing, up), passing) as proxy,
    ):
        started = time.perf_counter()
        with gateway(folder, redis_url, snapshot(up)) as (server, port):
            figures = [at_most("start to first answer", time.perf_counter() - started, 3, " s")]
            time.sleep(5)  # the price table loads beside the start
            memory = sum(rss_bytes(pid) for pid in _family(server.process.pid)) / 2**20
            figures.append(at_most("idle memory", memory, 120, " MB", 0))
            wrk(folder, port, 64, seconds)
            for _ in range(rounds):
                direct, _cost = _loaded(folder, proxy.process.pid, up, 1, seconds)
                _, nginx_cost = _loaded(folder, proxy.process.pid, passing, 64, seconds)
                _, cost = _loaded(folder, server.process.pid, port, 64, seconds)
                single, _cost = _loaded(folder, server.process.pid, port, 1, seconds)
                ratios.append(cost / nginx_cost)
                ours.append(cost)
                added.append(single.p50_ms - direct.p50_ms)
    figures.append(
        at_most("CPU per request at 64 connections, to nginx", statistics.median(ratios), 14, " x", 1)
    )
    figures.append(Figure("CPU per request at 64 connections", f"{statistics.median(ours):.0f} us"))
    figures.append(at_most("added p50 at one connection", statistics.median(added), 0.8, " ms"))
    return figures


def main() -> int:
    """Run all, print a table, 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of each load")
    parser.add_argument("--only", choices=["proxying", "streams", "race", "chaos"], help="one part alone")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with valkey(folder) as redis_url:
            if options.only in (None, "proxying"):
                try:
                    for name in ("nginx", "wrk"):
                        tool(name)
                    figures += proxying(folder, redis_url, options.rounds, options.seconds)
                except MissingToolError as missing:
                    print(f"skipped: the comparison with nginx, because {missing}")
            parts = {"streams": streams, "race": race, "chaos": chaos}
            for part, measure in parts.items():
                if options.only in (None, part):
                    figures += measure(folder, redis_url)
    return report(figures)


if __name__ == "__main__":
    raise SystemExit(main())
