"""Labelled workloads, made from templates: which questions mean the same is known, because it was written so.

Each has its real embeddings (the cache's own MiniLM), the cache's own guards, and traffic as the research used it: groups
drawn by Zipf's law, three in ten requests verbatim repeats. They are synthetic: orderings between policies carry
over to a customer's traffic, hit rates do not. No public set is used, since none could be had.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spanledger.serving.semantic.embedder import Embedder
from spanledger.serving.semantic.guards import check as guard
from spanledger_evaluators.stats.certificate import Check
from spanledger_evaluators.stats.judge_error import JudgeError
from spanledger_evaluators.stats.pooling import Pool
from spanledger_evaluators.stats.wrong_rate import PERFECT

from .streams import AUDIT_SHARE, GRID, LOWEST

ZIPF = 0.7
VERBATIM = 0.3
NEIGHBOURS = 4

_ACTIONS = {
    "cancel": ("cancel", "call off", "stop"),
    "change": ("change", "modify", "edit"),
    "track": ("track", "see the status of", "follow"),
    "return": ("return", "send back", "give back"),
    "pay": ("pay for", "settle", "complete the payment of"),
    "find": ("find", "locate", "look up"),
    "renew": ("renew", "extend", "prolong"),
    "share": ("share", "give a friend access to", "let others use"),
    "report": ("report a problem with", "complain about", "tell you about an error in"),
    "download": ("download", "get a copy of", "save"),
}
_OBJECTS = {
    "order": ("my order", "the order I placed"),
    "subscription": ("my subscription", "my monthly plan"),
    "invoice": ("my invoice", "the bill you sent me"),
    "booking": ("my booking", "my reservation"),
    "ticket": ("my train ticket", "my rail ticket"),
    "insurance": ("my insurance policy", "my insurance cover"),
    "warranty": ("my warranty", "my guarantee"),
    "voucher": ("my gift card", "my gift voucher"),
    "library": ("my library loan", "the book I borrowed from the library"),
    "parcel": ("my parcel", "my package"),
    "membership": ("my gym membership", "my fitness club membership"),
    "photos": ("my photo album", "my pictures"),
}
_ASKS = (
    "How do I {}?",
    "How can I {}?",
    "I want to {}.",
    "Please help me {}.",
    "What is the way to {}?",
    "Can I {} here?",
)


@dataclass(slots=True)
class Workload:
    """Texts with their groups, and a stream of requests (positions of texts)."""

    name: str
    texts: list[str]
    groups: NDArray[np.int64]
    requests: NDArray[np.int64]
    guards: bool = True
    alike: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    _guarded: dict[tuple[int, int], bool] = field(default_factory=dict[tuple[int, int], bool])

    def embed(self, embedder: Embedder) -> None:
        """Measure how alike all texts are."""
        rows = [np.frombuffer(embedder.embed(text, 256) or b"", dtype=np.int8) for text in self.texts]
        vectors = np.stack(rows).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.alike = vectors @ vectors.T

    def passes(self, asked: int, kept: int) -> bool:
        """Whether the guards, where there are any, let the entry answer the question."""
        if not self.guards:
            return True
        found = self._guarded.get((asked, kept))
        if found is None:
            found = self._guarded[asked, kept] = not guard(self.texts[asked], self.texts[kept])
        return found


@dataclass(slots=True)
class Served:
    """Semantic hits of the second half, and how many of them were wrong."""

    hits: int = 0
    wrong: int = 0
    met: int = 0
    checks: int = 0

    @property
    def rate(self) -> float:
        """Share of hits that were wrong."""
        return self.wrong / self.hits if self.hits else 0.0


def support(rng: np.random.Generator, size: int) -> Workload:
    """Customers of a shop: ten things to do with twelve things, in 36 wordings each."""
    groups = [
        [ask.format(f"{verb} {noun}") for ask, verb, noun in itertools.product(_ASKS, verbs, nouns)]
        for verbs, nouns in itertools.product(_ACTIONS.values(), _OBJECTS.values())
    ]
    return _workload("support", groups, rng, size)


def pairs(rows: Iterable[Sequence[str]], rng: np.random.Generator, size: int) -> Workload:
    """The adversarial pairs of the development half: mostly groups of one or two wordings, each with a false friend."""
    groups: list[list[str]] = []
    for _, same, left, right in rows:
        groups += [[left, right]] if same == "1" else [[left], [right]]
    return _workload("adversarial pairs", groups, rng, size)


def _workload(name: str, groups: list[list[str]], rng: np.random.Generator, size: int) -> Workload:
    texts = [text for group in groups for text in group]
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    starts = np.concatenate([[0], np.cumsum([len(group) for group in groups])[:-1]])
    weights = 1 / np.arange(1, len(groups) + 1) ** ZIPF
    order = rng.permutation(len(groups))
    drawn = order[rng.choice(len(groups), size, p=weights / weights.sum())]
    requests = np.empty(size, dtype=np.int64)
    for place, group in enumerate(int(number) for number in drawn):
        repeated = place > 0 and rng.random() < VERBATIM
        requests[place] = (
            requests[rng.integers(place)] if repeated else starts[group] + rng.integers(len(groups[group]))
        )
    return Workload(name, texts, labels, requests)


def _nearest(load: Workload, asked: int, entries: NDArray[np.bool_]) -> int | None:
    """The entry that would answer: the nearest that the guards let pass, of the few nearest."""
    alike = np.where(entries, load.alike[asked], -1.0)
    for kept in np.argsort(-alike)[:NEIGHBOURS].tolist():
        if alike[kept] < LOWEST:
            return None
        if load.passes(asked, kept):
            return kept
    return None


Decide = Callable[[int, float, bool], bool]
"""Place in the stream, similarity, whether it would be wrong: whether it is served."""


def replay(load: Workload, decide: Decide) -> Served:
    """Answer the stream: exact repeats from the exact tier; the rest by ``decide``. Only misses are kept."""
    entries = np.zeros(len(load.texts), dtype=np.bool_)
    known: set[int] = set()
    out = Served()
    half = len(load.requests) // 2
    for place, asked in enumerate(load.requests.tolist()):
        if asked in known:
            continue
        kept = _nearest(load, asked, entries)
        late = place >= half
        out.met += late
        if kept is not None:
            wrong = bool(load.groups[kept] != load.groups[asked])
            if decide(place, float(load.alike[asked, kept]), wrong):
                out.hits += late
                out.wrong += late and wrong
                continue
        entries[asked] = True
        known.add(asked)
    return out


def fixed(load: Workload, threshold: float) -> Served:
    """A threshold fixed from the second half on."""
    half = len(load.requests) // 2
    return replay(load, lambda place, alike, _wrong: place >= half and alike >= threshold)


def all_fixed(load: Workload) -> list[Served]:
    """Every second threshold of the grid, fixed."""
    return [fixed(load, threshold) for threshold in GRID[::2]]


def best_of(found: Sequence[Served], allowed: float) -> Served:
    """In hindsight: most hits of the second half at no more wrong ones than allowed."""
    return max((out for out in found if out.rate <= allowed), key=lambda out: out.hits, default=Served())


def certified(load: Workload, allowed: float, rng: np.random.Generator, judge_error: float = 0.0) -> Served:
    """The certificate: the first half only logged and checked, the second served and checked as in service."""
    pool = Pool(allowed=allowed, thresholds=GRID, judge=JudgeError(bounds=PERFECT))
    checks, half = 0, len(load.requests) // 2

    def decide(place: int, alike: float, wrong: bool) -> bool:
        nonlocal checks
        threshold, sure, share = pool.threshold(), pool.certified(), pool.audit_share(AUDIT_SHARE)
        served = place >= half and threshold is not None and alike >= threshold
        paused = not served and (sure is None or alike >= sure)
        if paused or rng.random() < share:
            checks += 1
            called = wrong != (rng.random() < judge_error)
            pool.add("", Check(alike, called, stands_for=1 / share if served else 0.0))
        return served

    out = replay(load, decide)
    out.checks = checks
    return out
