"""The rows about the guards: lookalikes that pass, and paraphrases that still do, on the adversarial pairs.

On the held-out half two figures are told and nothing else: whoever tunes guards must not learn which pairs they miss.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spanledger.serving.semantic.embedder import MiniLM
from spanledger.serving.semantic.guards import check
from spanledger.serving.snapshot import SemanticRule
from tests.benchmarks.report import Figure, at_least, at_most

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Passed:
    """What passes on one half: ``alike`` pairs are at least as similar as a route's rule asks by default."""

    false_hits: int  # lookalikes that are alike and pass the guards
    hits: int  # all pairs that do
    kept: int  # paraphrases that do
    paraphrases: int  # paraphrases that are alike: what would be hit without guards


def passed(half: Path) -> Passed:
    """Run all pairs of a half through embedder and guards."""
    embedder = MiniLM()
    false_hits = kept = paraphrases = 0
    with half.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        if _similarity(embedder, row["a"], row["b"]) < SemanticRule().lowest_similarity:
            continue
        is_hit = not check(row["a"], row["b"])
        if row["same"] == "1":
            paraphrases += 1
            kept += is_hit
        else:
            false_hits += is_hit
    return Passed(false_hits, false_hits + kept, kept, paraphrases)


def figures() -> list[Figure]:
    """All sets; only the held-out half has targets."""
    known = passed(HERE / "pairs_dev.tsv")
    more = passed(HERE / "pairs_dev_more.tsv")
    held = passed(HERE / "pairs_heldout.tsv")
    return [
        Figure("development half: false hits, of hits", _percent(known.false_hits, known.hits)),
        Figure("development half: paraphrases kept", _percent(known.kept, known.paraphrases)),
        Figure("further pairs for development: false hits, of hits", _percent(more.false_hits, more.hits)),
        Figure("further pairs for development: paraphrases kept", _percent(more.kept, more.paraphrases)),
        at_most("held-out half: false hits, of hits", 100 * held.false_hits / max(1, held.hits), 1, " %", 1),
        at_least("held-out half: paraphrases kept", 100 * held.kept / max(1, held.paraphrases), 80, " %", 1),
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"


def _similarity(embedder: MiniLM, one: str, two: str) -> float:
    vectors = [np.frombuffer(embedder.embed(text) or b"", dtype=np.int8).astype(float) for text in (one, two)]
    return float(vectors[0] @ vectors[1] / (np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1])))
