"""Streams of would-be hits with known truth, and what becomes of them under a certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spanledger_evaluators.stats.certificate import Check, grid
from spanledger_evaluators.stats.judge_error import JudgeError, measure
from spanledger_evaluators.stats.pooling import Pool

Floats = NDArray[np.float64]

LOWEST = 0.7
LABELS_RIGHT, LABELS_WRONG = 1000, 200
"""Pairs that people labelled, from which the judge's errors are known."""
AUDIT_SHARE = 0.05
GRID = grid(LOWEST)
_STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Would-be hits in order of time: how alike, how likely wrong (the truth), of which partition."""

    similarity: Floats
    wrong_rate: Floats
    partition: NDArray[np.int64]
    kind: str


@dataclass(slots=True)
class Outcome:
    """What a certificate did with a stream. ``served_wrong`` sums the true chances of the hits served."""

    served: int = 0
    served_wrong: float = 0.0
    offered: int = 0
    checks: int = 0
    first_open: int | None = None  # checks until the tier first opened
    closings: int = 0

    @property
    def rate(self) -> float:
        """True wrong-hit rate of what was served."""
        return self.served_wrong / self.served if self.served else 0.0


def calibrated(
    error: float, rng: np.random.Generator, *, right: int = LABELS_RIGHT, wrong: int = LABELS_WRONG
) -> JudgeError:
    """What people's labels of so many pairs would say of a judge that errs so often either way."""
    called_right = rng.random(right) < error
    called_wrong = rng.random(wrong) >= error
    return measure([*((bool(x), False) for x in called_right), *((bool(x), True) for x in called_wrong)])


def run(
    stream: Stream, *, allowed: float, error: float, judge: JudgeError, rng: np.random.Generator
) -> Outcome:
    """Follow the stream as gateway and workers would: while closed every would-be hit is checked, while open a share."""
    pool = Pool(allowed=allowed, thresholds=GRID, judge=judge)
    out = Outcome(offered=len(stream.similarity))
    if judge.forbids(allowed):
        return out
    size = len(stream.similarity)
    wrong = rng.random(size) < stream.wrong_rate
    called = wrong ^ (rng.random(size) < error)
    lot = rng.random(size)
    names = [str(number) for number in range(int(stream.partition.max()) + 1)]
    serve = np.full(len(names), 2.0)  # by partition; 2: nothing
    sampled = np.zeros(len(names))  # below it a share is checked; between the two everything
    share = np.ones(len(names))
    position = 0
    was_open = False
    while position < size:
        after = _next_check(stream, serve, sampled, lot, share, position)
        part = slice(position, after + 1)
        hits = stream.similarity[part] >= serve[stream.partition[part]]
        out.served += int(hits.sum())
        out.served_wrong += float(stream.wrong_rate[part][hits].sum())
        if after >= size:
            break
        out.checks += 1
        who = int(stream.partition[after])
        similarity = float(stream.similarity[after])
        weight = 1 / share[who] if similarity >= serve[who] else 0.0
        pool.add(names[who], Check(similarity, bool(called[after]), stands_for=weight))
        serve[:], sampled[:] = pool.threshold() or 2.0, pool.certified() or 0.0
        share[:] = pool.audit_share(AUDIT_SHARE)
        for name in pool.apart:
            number = int(name)
            serve[number], sampled[number] = pool.threshold(name) or 2.0, pool.certified(name) or 0.0
            share[number] = pool.audit_share(AUDIT_SHARE, name)
        now_open = bool((sampled > 0).any())
        if now_open and out.first_open is None:
            out.first_open = out.checks
        out.closings += was_open and not now_open
        was_open = now_open
        position = after + 1
    return out


def _next_check(
    stream: Stream, serve: Floats, sampled: Floats, lot: Floats, share: Floats, position: int
) -> int:
    """Index of the next event that is checked: of the audit sample, or any that is paused or closed."""
    size = len(lot)
    while position < size:
        part = slice(position, min(size, position + _STRIDE))
        who = stream.partition[part]
        alike = stream.similarity[part]
        found = (lot[part] < share[who]) | ((alike < serve[who]) & (alike >= sampled[who]))
        if found.any():
            return position + int(found.argmax())
        position += _STRIDE
    return size
