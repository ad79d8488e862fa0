"""The rows about the index: time of a lookup among 100,000 entries, and its memory. In a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spanledger.serving.semantic import Index, Row
from tests.benchmarks.report import Figure, at_most

ENTRIES = 100_000
LOOKUPS = 2_000
_PARTITION = "ab" * 16
_QUESTION = "How do I return pair number {} that I bought last week in your shop without a receipt?"


def figures() -> list[Figure]:
    """Build the index in a fresh process and measure there."""
    run = [sys.executable, "-m", "tests.benchmarks.cache.lookup"]
    told = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return [
        at_most(f"lookup among {ENTRIES:,} entries, p99", told["p99_ms"], 2, " ms"),
        Figure(f"lookup among {ENTRIES:,} entries, p50", f"{told['p50_ms']:.2f} ms"),
        Figure("of it CPU, p99", f"{told['cpu_p99_ms']:.2f} ms"),
        Figure("right neighbour found", f"{100 * told['recall']:.1f} %"),
        at_most("index memory", told["megabytes"], 100, " MB", 0),
        at_most("memory an entry", told["megabytes"] * 1e6 / ENTRIES, 1024, " B", 0),
        Figure("adding an entry", f"{told['add_us']:.0f} us"),
    ]


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def _vectors(rng: np.random.Generator, centres: NDArray[np.float32], count: int) -> NDArray[np.int8]:
    """Questions come in clusters: a topic each, with some way between its questions."""
    made = (
        centres[rng.integers(0, len(centres), count)] + rng.normal(size=(count, 384)).astype(np.float32) * 0.6
    )
    scaled: NDArray[np.float32] = made * (127 / np.abs(made).max(axis=1, keepdims=True))
    return np.round(scaled).astype(np.int8)


def measure() -> dict[str, float]:
    """Fill the index, look up questions near to known ones."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(5_000, 384)).astype(np.float32)
    index = Index(ENTRIES)
    _fill(index, rng, centres, 600)  # what the libraries take themselves is not the index's
    index = Index(ENTRIES)
    before, started = _resident(), time.process_time()
    known = _fill(index, rng, centres, ENTRIES)
    add_us = (time.process_time() - started) / ENTRIES * 1e6
    megabytes = _resident() - before
    times: list[float] = []
    used: list[float] = []
    found = 0
    for number, vector in known.items():
        noise = rng.normal(size=384) * 4
        near = np.clip(vector + noise, -127, 127).astype(np.int8).tobytes()
        began, worked = time.perf_counter(), time.thread_time()
        matches = index.search(_PARTITION, near, 0.0)
        times.append((time.perf_counter() - began) * 1e3)
        used.append((time.thread_time() - worked) * 1e3)
        found += bool(matches) and matches[0].row.question == _QUESTION.format(number)
    return {
        "p50_ms": float(np.percentile(times, 50)),
        "p99_ms": float(np.percentile(times, 99)),
        "cpu_p99_ms": float(np.percentile(used, 99)),
        "recall": found / len(times),
        "megabytes": megabytes,
        "add_us": add_us,
    }


def _fill(
    index: Index, rng: np.random.Generator, centres: NDArray[np.float32], count: int
) -> dict[int, NDArray[np.int8]]:
    """Add so many entries, some at a time; answers every n-th vector."""
    kept: dict[int, NDArray[np.int8]] = {}
    for start in range(0, count, 1000):
        vectors = _vectors(rng, centres, min(1000, count - start))
        for place, vector in enumerate(vectors):
            number = start + place
            name = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"
            row = Row(name, _PARTITION, _QUESTION.format(number), 1.0, "ab" * 16, "cd" * 8)
            index.add(row, vector.tobytes())
            if number % max(1, count // LOOKUPS) == 0:
                kept[number] = vector.copy()  # a view would hold its whole batch
    return kept


if __name__ == "__main__":
    print(json.dumps(measure()))
