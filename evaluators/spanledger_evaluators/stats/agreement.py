"""How well verdicts agree with people: pairs of verdicts in, agreement out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counted half.

    Raises ValueError when one of the two classes is empty.
    """
    count = sum(positive)
    if len(scores) != len(positive) or not 0 < count < len(scores):
        raise ValueError("auc needs a label for each score and at least one of either class")
    below = wins = 0.0
    pairs = sorted(zip(scores, positive, strict=True))
    for _, tied in groupby(pairs, key=lambda pair: pair[0]):
        labels = [label for _, label in tied]
        positives = sum(labels)
        wins += positives * (below + (len(labels) - positives) / 2)
        below += len(labels) - positives
    return wins / (count * (len(scores) - count))
