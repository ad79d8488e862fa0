"""`python -m tests.benchmarks.ingest [PART...]`: cpu, rate, disk, fuzz, outage, kills (all when none is named)."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.ingest import cost, crash, fuzz
from tests.benchmarks.ingest.stack import Stack
from tests.benchmarks.report import Figure, report

PARTS = ("cpu", "rate", "disk", "fuzz", "outage", "kills")


def main() -> int:
    """Run the parts, each on a stack of its own; print a table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ingest", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts to run")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--outage-s", type=float, default=180)
    parser.add_argument("--bodies", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=5000, help="spans per second to offer")
    parser.add_argument("--rate-s", type=float, default=30)
    options = parser.parse_args()
    run: dict[str, Callable[[Stack], list[Figure]]] = {
        "cpu": cost.cpu,
        "rate": lambda stack: [*cost.rate(stack, options.rate, options.rate_s)],
        "disk": lambda stack: [*cost.rate(stack, 2000, 10)[2:], *cost.disk(stack)],
        "fuzz": lambda stack: fuzz.fuzz(stack, options.bodies),
        "outage": lambda stack: crash.outage(stack, options.outage_s),
        "kills": lambda stack: crash.kills(stack, options.kills),
    }
    figures: list[Figure] = []
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
            print(f"-- {part}", flush=True)
            figures += run[part](stack)
    return report(figures)


if __name__ == "__main__":
    raise SystemExit(main())
