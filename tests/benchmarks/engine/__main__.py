"""`python -m tests.benchmarks.engine`: start-up, overhead, idle cost, a soak of ten minutes, a hundred kills."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.benchmarks.engine.crash import crash
from tests.benchmarks.engine.overhead import overhead
from tests.benchmarks.engine.soak import soak
from tests.benchmarks.process import cpu_s, rss_bytes
from tests.benchmarks.report import Figure, at_most, report
from tests.servers import Engine, start_engine


def idle(engine: Engine, seconds: float) -> list[Figure]:
    """Memory and CPU of an engine that has nothing to do."""
    pid = engine.server.process.pid
    time.sleep(2)
    before = cpu_s(pid)
    time.sleep(seconds)
    used = (cpu_s(pid) - before) / seconds * 100
    return [
        at_most("idle: CPU of one core", used, 5, " %"),
        at_most("idle: memory", rss_bytes(pid) / 1024**2, 400, " MiB", 0),
    ]


def main() -> int:
    """Run all, print a table, 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.engine", description=__doc__)
    parser.add_argument("--soak-s", type=float, default=600, help="seconds of the soak; 0 leaves it out")
    parser.add_argument("--kills", type=int, default=100, help="kill -9 so often; 0 leaves it out")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        os.chdir(folder)  # the engine in this process reads config.xml where it stands
        started = time.perf_counter()
        engine = start_engine(home)
        figures.append(at_most("start to first answer", time.perf_counter() - started, 5, " s"))
        try:
            figures += idle(engine, 10)
            figures += overhead(engine, Path(folder) / "inside")
            if options.soak_s:
                figures += soak(engine, options.soak_s)
        finally:
            started = time.perf_counter()
            engine.server.stop()
            figures.append(at_most("stop", time.perf_counter() - started, 10, " s"))
        if options.kills:
            crashed = Path(folder) / "crashed"
            crashed.mkdir()
            figures += crash(crashed, options.kills)
    return report(figures)


if __name__ == "__main__":
    raise SystemExit(main())
