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


def kappa(table: Sequence[Sequence[float]], *, quadratic: bool = False) -> float:
    """Cohen's kappa of a square table of counts (rows: one rater, columns: the other).

    ``quadratic`` weighs disagreement by the squared distance of ordered categories.
    Raises ValueError when both raters gave one and the same category throughout.
    """
    size = len(table)
    total = sum(map(sum, table))
    rows = [sum(row) / total for row in table]
    columns = [sum(row[column] for row in table) / total for column in range(size)]
    weight = [[_disagreement(i, j, size, quadratic) for j in range(size)] for i in range(size)]
    cells = [(i, j) for i in range(size) for j in range(size)]
    observed = sum(weight[i][j] * table[i][j] / total for i, j in cells)
    expected = sum(weight[i][j] * rows[i] * columns[j] for i, j in cells)
    if expected == 0:
        raise ValueError("kappa needs at least two categories in use")
    return 1 - observed / expected


def _disagreement(first: int, second: int, size: int, quadratic: bool) -> float:
    if quadratic:
        return ((first - second) / max(1, size - 1)) ** 2
    return float(first != second)
