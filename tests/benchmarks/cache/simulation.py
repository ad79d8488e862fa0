"""A thousand streams with known truth under a judge that errs: how often more hits were wrong than was allowed.

Six kinds of streams, as many of each: ``null`` (at every similarity a little too many would be wrong), ``steep`` (right
at high, wrong at low similarities), ``abrupt`` and ``slow`` (steep, then drifting to two to six times what is allowed),
``mixed`` (one to three of eight partitions are bad), ``growing`` (their traffic grows from little to most).

A stream counts against the certificate when of the hits that it let through, more were wrong by their true chances than
allowed; it is looked at after every check, and the judge's errors are known only from labels drawn anew each time.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from spanledger_evaluators.stats.judge_error import JudgeError
from spanledger_evaluators.stats.wrong_rate import PERFECT

from .streams import LOWEST, Floats, Outcome, Stream, calibrated, run

KINDS = ("null", "steep", "abrupt", "slow", "mixed", "growing")
LENGTH = 6000
ALLOWED = 0.05
JUDGE_ERROR = 0.03
PARTITIONS = 8


@dataclass(frozen=True, slots=True)
class Told:
    """One stream's outcome, and whether a tier that knew the truth could have opened."""

    kind: str
    possible: bool
    outcome: Outcome


def made(kind: str, allowed: float, rng: np.random.Generator) -> Stream:
    """One stream of this kind."""
    similarity = LOWEST + (1 - LOWEST) * rng.beta(1.2, 1.2, size=LENGTH)
    partition = np.zeros(LENGTH, dtype=np.int64)
    if kind == "null":
        rate = np.full(LENGTH, allowed * rng.uniform(1.0, 1.3) + 1e-9)
    else:
        best = allowed * (rng.uniform(0.02, 0.5) if kind == "steep" else rng.uniform(0.02, 0.3))
        rate = _steep(similarity, best, rng)
    if kind in ("abrupt", "slow"):
        rate = _drifted(rate, allowed, 1 if kind == "abrupt" else LENGTH // 5, rng)
    if kind in ("mixed", "growing"):
        partition, bad = _partitions(kind, rng)
        rate = np.where(bad, np.maximum(rate, allowed * rng.uniform(2, 6)), rate)
    return Stream(similarity=similarity, wrong_rate=rate, partition=partition, kind=kind)


def _steep(similarity: Floats, best: float, rng: np.random.Generator) -> Floats:
    worst, middle, slope = rng.uniform(0.1, 0.6), rng.uniform(0.72, 0.9), rng.uniform(20, 60)
    return best + (worst - best) / (1 + np.exp(slope * (similarity - middle)))


def _drifted(rate: Floats, allowed: float, over: int, rng: np.random.Generator) -> Floats:
    begin, bad = int(LENGTH * rng.uniform(0.3, 0.8)), allowed * rng.uniform(2, 6)
    ramp = np.clip((np.arange(LENGTH) - begin) / over, 0, 1)
    return np.maximum(rate, rate + ramp * (bad - rate))


def _partitions(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    weights = rng.dirichlet(np.full(PARTITIONS, 2.0))
    bad = rng.permutation(PARTITIONS)[: rng.integers(1, 4)]
    if kind == "mixed":
        drawn = rng.choice(PARTITIONS, LENGTH, p=weights)
    else:
        early, late = weights.copy(), weights.copy()
        early[bad] *= 0.1
        late[bad] *= 4
        half = LENGTH // 2
        drawn = np.concatenate(
            [
                rng.choice(PARTITIONS, half, p=early / early.sum()),
                rng.choice(PARTITIONS, LENGTH - half, p=late / late.sum()),
            ]
        )
    return drawn, np.isin(drawn, bad)


def possible(stream: Stream, allowed: float) -> bool:
    """Whether at some threshold of 0.98 or below, with a twentieth of all hits, at most half of what is allowed is wrong
    in the stream's first third (before any drift)."""
    early = slice(0, LENGTH // 3)
    order = np.argsort(-stream.similarity[early])
    rates = stream.wrong_rate[early][order].cumsum() / np.arange(1, len(order) + 1)
    return bool((rates[len(order) // 20 :] <= allowed / 2).any())


def simulated(number: int, error: float, allowed: float = ALLOWED) -> Told:
    """The stream of this number."""
    rng = np.random.default_rng([20261126, number])
    kind = KINDS[number % len(KINDS)]
    stream = made(kind, allowed, rng)
    judge = calibrated(error, rng) if error else JudgeError(bounds=PERFECT)
    outcome = run(stream, allowed=allowed, error=error, judge=judge, rng=rng)
    return Told(kind, possible(stream, allowed), outcome)


def _one(task: tuple[int, float]) -> Told:
    return simulated(*task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of one kind of streams (or all): shares of streams, and medians over those that opened."""

    kind: str
    streams: int
    exceeded: float
    opened: float
    possible: int
    opened_of_possible: float
    checks_to_open: float
    kept: float


def summaries(told: list[Told], allowed: float = ALLOWED) -> list[Summary]:
    """All together first, then each kind."""
    groups: dict[str, list[Told]] = defaultdict(list)
    for one in told:
        groups["all"].append(one)
        groups[one.kind].append(one)
    return [_summary(kind, rows, allowed) for kind, rows in groups.items()]


def _summary(kind: str, rows: list[Told], allowed: float) -> Summary:
    outcomes = [row.outcome for row in rows]
    opened = [out.first_open for out in outcomes if out.first_open is not None]
    could = [row.outcome for row in rows if row.possible]
    return Summary(
        kind=kind,
        streams=len(rows),
        exceeded=sum(out.served > 0 and out.rate > allowed for out in outcomes) / len(rows),
        opened=len(opened) / len(rows),
        possible=len(could),
        opened_of_possible=sum(out.first_open is not None for out in could) / len(could) if could else 0.0,
        checks_to_open=float(np.median(opened)) if opened else 0.0,
        kept=float(np.mean([out.served / out.offered for out in outcomes])),
    )


def all_streams(count: int, error: float, workers: int = 1) -> list[Told]:
    """Simulate so many streams."""
    tasks = [(number, error) for number in range(count)]
    if workers == 1:
        return [_one(task) for task in tasks]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(_one, tasks, chunksize=10))
