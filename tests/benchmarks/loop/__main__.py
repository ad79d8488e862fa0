"""`python -m tests.benchmarks.loop [PART...]`: simulation, planner, delivery, poison, degradation, chaos (all when none is named)."""

from __future__ import annotations

import argparse
import logging
import tempfile
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.loop import simulation as sim
from tests.benchmarks.loop.chaos import chaos
from tests.benchmarks.loop.degradation import degradation
from tests.benchmarks.loop.delivery import delivery
from tests.benchmarks.loop.planner import planner
from tests.benchmarks.loop.poison import poison
from tests.benchmarks.report import Figure, at_most, report
from tests.servers import start_engine, valkey

PARTS = ("simulation", "planner", "delivery", "poison", "degradation", "chaos")


def main() -> int:
    """Run the parts; print a table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loop", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts to run")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--days", type=int, default=50)
    parser.add_argument("--chaos-s", type=float, default=300)
    parser.add_argument("--routes", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # engines die here on purpose
    run: dict[str, Callable[[Path], list[Figure]]] = {
        "simulation": lambda _: simulated(options.runs, options.days),
        "planner": planned,
        "delivery": delivered,
        "poison": poisoned,
        "degradation": lambda folder: degradation(folder, options.routes, 1500),
        "chaos": lambda folder: chaos(folder, options.chaos_s, options.seed),
    }
    figures: list[Figure] = []
    for part in options.parts or PARTS:
        print(f"-- {part}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            figures += run[part](Path(folder))
    return report(figures)


def simulated(runs: int, days: int) -> list[Figure]:
    """False switches at the mean and at the bound, and how soon a real drop is seen."""
    figures: list[Figure] = []
    for world in (sim.GRADED, sim.BINARY):
        steady = sim.false_share(world, mean=0.85, days=days, per_day=2000, runs=runs, seed=11)
        edge = sim.false_share(world, mean=0.80, days=days, per_day=2000, runs=runs, seed=12)
        told = f"{runs} runs of {days} days at 2,000 judged calls, {world.name}"
        figures.append(at_most(f"false switches, {told}, mean .85", 100 * steady, 5, " %", 1))
        figures.append(at_most("the same with the mean just at the bound (.80)", 100 * edge, 5, " %", 1))
        learned = sim.false_share_learned(world, mean=0.85, steps=2000, runs=runs, seed=13)
        figures.append(
            at_most("the same, baseline learned, a whole margin below it", 100 * learned, 5, " %", 1)
        )
        for before in (100, 500, 5000):
            delays = sim.delays(world, good=0.85, bad=0.60, before=before, streams=runs, seed=14)
            name = f"judged calls from .85 -> .60 to the switch after {before} good ones, {world.name}: median, p90"
            value = f"{np.median(delays):.0f}, {np.percentile(delays, 90):.0f}"
            limit = before <= 500
            figures.append(
                Figure(
                    name, value, "<= 100" if limit else "", bool(np.median(delays) <= 100) if limit else None
                )
            )
    return figures


@contextmanager
def place(folder: Path) -> Generator[tuple[StoreSettings, str]]:
    """A migrated database and a broker."""
    engine = start_engine(folder)
    try:
        settings = StoreSettings(clickhouse_url=f"{engine.url}/bench_{uuid.uuid4().hex[:8]}")
        migrate(settings)
        (folder / "broker").mkdir()
        with valkey(folder / "broker") as redis_url:
            yield settings, redis_url
    finally:
        engine.server.stop()


def planned(folder: Path) -> list[Figure]:
    """The planner's row."""
    with place(folder) as (settings, redis_url):
        return planner(connect(settings), redis_url, 60)


def delivered(folder: Path) -> list[Figure]:
    """The alerts' row."""
    with place(folder) as (settings, redis_url):
        return delivery(connect(settings), redis_url)


def poisoned(folder: Path) -> list[Figure]:
    """The poison's row."""
    with place(folder) as (settings, redis_url):
        return poison(connect(settings), settings.clickhouse_url, redis_url, folder)


if __name__ == "__main__":
    raise SystemExit(main())
