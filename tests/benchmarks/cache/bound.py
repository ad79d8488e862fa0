"""The rows about the bound: what the certificate keeps of the best fixed threshold, and how often it is exceeded."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from spanledger.serving.semantic.embedder import local
from tests.benchmarks.report import Figure, at_least, at_most

from .simulation import ALLOWED, JUDGE_ERROR, all_streams, summaries
from .workloads import Served, Workload, all_fixed, best_of, certified, pairs, support

STREAMS = 1000
SEED = 20261126
REQUESTS = 30_000
FEW = 400
SHARES = (0.05, 0.02)
PAIRS = Path(__file__).with_name("pairs_dev.tsv")


def figures() -> list[Figure]:
    """All rows; about eight minutes on one core, nearly all of them the simulation."""
    return [*kept(), *exceeded()]


def kept() -> list[Figure]:
    """Labelled workloads with real embeddings; the judge is the label."""
    rng = np.random.default_rng(SEED)
    embedder = local()
    loads = [support(rng, REQUESTS), support(rng, FEW), pairs(_pairs(), rng, REQUESTS // 4)]
    for load in loads:
        load.embed(embedder)
    plenty, few, adversarial = loads
    found: list[Figure] = []
    for load, name in ((plenty, "guards on"), (replace(plenty, guards=False), "guards off")):
        hindsight = all_fixed(load)
        for allowed in SHARES:
            found += _kept(load, name, allowed, best_of(hindsight, allowed))
    for load, name in ((few, "too few requests"), (adversarial, "no threshold is right")):
        hits = certified(load, 0.01, np.random.default_rng(SEED)).hits
        found.append(at_most(f"{load.name}, {name}: semantic hits at 1 %", hits, 0, digits=0))
    return found


def _kept(load: Workload, name: str, allowed: float, best: Served) -> list[Figure]:
    ours = certified(load, allowed, np.random.default_rng(SEED))
    share = 100 * ours.hits / best.hits if best.hits else 0.0
    title = f"{load.name}, {name}, {allowed:.0%} allowed"
    return [
        at_least(f"{title}: hits kept of the best fixed threshold's", share, 70, " %", 0),
        at_most(f"{title}: wrong hits", 100 * ours.rate, 100 * allowed, " %"),
        Figure(f"{title}: hits, checks", f"{ours.hits} of {ours.met}, {ours.checks} checks"),
    ]


def exceeded() -> list[Figure]:
    """Streams with known truth and a judge that errs."""
    found: list[Figure] = []
    for row in summaries(all_streams(STREAMS, JUDGE_ERROR)):
        name = f"{row.streams} streams ({row.kind}), judge errs {JUDGE_ERROR:.0%}, {ALLOWED:.0%} allowed"
        share = at_most(f"{name}: exceeded", 100 * row.exceeded, 5, " %")
        found.append(share if row.kind == "all" else replace(share, target="", passed=None))
        found.append(
            Figure(
                f"{name}: opened",
                f"{row.opened:.0%} ({row.opened_of_possible:.0%} of {row.possible} where it should),"
                f" after {row.checks_to_open:.0f} checks (median)",
            )
        )
    return found


def _pairs() -> list[list[str]]:
    with PAIRS.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))[1:]
