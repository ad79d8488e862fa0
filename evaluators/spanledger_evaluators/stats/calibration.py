"""A judge against people: verdicts and labels in; its errors, and a pass rate that allows for them, out.

Sources: Rogan and Gladen 1978 with the interval of Lang and Reiczigel 2014, for judges as in Lee et al.
2025 (arXiv 2511.21140); PPI++ of Angelopoulos et al. 2023 (arXiv 2311.01453).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .agreement import kappa
from .distributions import normal_quantile
from .intervals import Estimate, wilson

WEAKEST_JUDGE = 0.3  # below this sum of errors the correction divides by next to nothing


class NotCorrectable(ValueError):
    """The labels or the judge do not allow a corrected rate; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a judge agrees with people. Rates with Wilson intervals; ``true_*`` None without such labels."""

    n: int
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    sensitivity: Estimate | None  # TPR: it passes what people pass
    specificity: Estimate | None  # TNR: it fails what people fail
    agreement: Estimate
    kappa: float | None  # None when all verdicts are one


def calibrate(judged: Sequence[bool], labels: Sequence[bool], confidence: float = 0.95) -> Calibration:
    """Compare pass/fail verdicts with people's labels of the same cases. Raises ValueError for none."""
    if len(judged) != len(labels) or not labels:
        raise ValueError("calibration needs a label for each verdict and at least one")
    pairs = list(zip(judged, labels, strict=True))
    tp, fp = pairs.count((True, True)), pairs.count((True, False))
    fn, tn = pairs.count((False, True)), pairs.count((False, False))
    try:
        agreed = kappa([[tp, fp], [fn, tn]])
    except ValueError:
        agreed = None
    return Calibration(
        n=len(pairs),
        true_positive=tp,
        false_positive=fp,
        true_negative=tn,
        false_negative=fn,
        sensitivity=wilson(tp, tp + fn, confidence) if tp + fn else None,
        specificity=wilson(tn, tn + fp, confidence) if tn + fp else None,
        agreement=wilson(tp + tn, len(pairs), confidence),
        kappa=agreed,
    )


def rogan_gladen(rate: Estimate, judge: Calibration, confidence: float = 0.95) -> Estimate:
    """The true pass rate behind a judge's pass rate, when its labels come from another distribution.

    theta = (p + q0 - 1) / (q0 + q1 - 1), with the Lang-Reiczigel interval.

    Raises:
        NotCorrectable: labels of one kind only, or a judge hardly better than a coin.
    """
    if judge.sensitivity is None or judge.specificity is None:
        raise NotCorrectable("the labels hold only passes or only failures: both errors must be known")
    strength = judge.sensitivity.value + judge.specificity.value - 1
    if strength < WEAKEST_JUDGE:
        raise NotCorrectable(
            f"the judge is too weak: sensitivity + specificity - 1 = {strength:.2f} < {WEAKEST_JUDGE}"
        )
    z = normal_quantile(0.5 + confidence / 2)
    positives, negatives = judge.sensitivity.n, judge.specificity.n
    n = rate.n + z * z
    p = (rate.n * rate.value + z * z / 2) / n
    q1 = (positives * judge.sensitivity.value + 1) / (positives + 2)
    q0 = (negatives * judge.specificity.value + 1) / (negatives + 2)
    theta = (p + q0 - 1) / (q0 + q1 - 1)
    spread1, spread0 = q1 * (1 - q1) / (positives + 2), q0 * (1 - q0) / (negatives + 2)
    variance = p * (1 - p) / n + (1 - theta) ** 2 * spread0 + theta**2 * spread1
    half = z * math.sqrt(variance) / (q0 + q1 - 1)
    shift = 2 * z * z * (theta * spread1 - (1 - theta) * spread0)
    value = (rate.value + judge.specificity.value - 1) / strength
    return Estimate(
        value=min(1.0, max(0.0, value)),
        low=min(1.0, max(0.0, theta + shift - half)),
        high=min(1.0, max(0.0, theta + shift + half)),
        n=rate.n,
        clusters=rate.n,
        method="Rogan-Gladen",
    )


def ppi_plus_plus(
    labels: Sequence[float],
    judged_of_labelled: Sequence[float],
    judged_of_all: Sequence[float],
    confidence: float = 0.95,
    *,
    weight: float | None = None,
) -> Estimate:
    """The mean label of a stream, from many judged cases and a random few that people labelled as well.

    theta = mean(y - w f) + w mean(F), with w = cov(y, f) / ((1 + n/N) var f) unless given (1: plain PPI).
    ``judged_of_all`` are cases without labels; the labelled ones must be a random sample of the stream.

    Raises:
        NotCorrectable: fewer than two labels or two judged cases.
    """
    n, many = len(labels), len(judged_of_all)
    if n < 2 or many < 2 or len(judged_of_labelled) != n:
        raise NotCorrectable("PPI++ needs at least two labelled and two judged cases")
    chosen = _ppi_weight(labels, judged_of_labelled, judged_of_all) if weight is None else weight
    rest = [y - chosen * f for y, f in zip(labels, judged_of_labelled, strict=True)]
    value = _mean(rest) + chosen * _mean(judged_of_all)
    variance = _variance(rest) / n + chosen**2 * _variance(judged_of_all) / many
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(variance)
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        n=n + many,
        clusters=n + many,
        se=math.sqrt(variance),
        method="PPI++" if weight is None else "PPI",
    )


def _ppi_weight(labels: Sequence[float], few: Sequence[float], many: Sequence[float]) -> float:
    spread = _variance([*few, *many])
    if spread == 0:
        return 0.0
    mean_y, mean_f = _mean(labels), _mean(few)
    products = ((y - mean_y) * (f - mean_f) for y, f in zip(labels, few, strict=True))
    covariance = math.fsum(products) / (len(labels) - 1)
    return min(1.0, max(0.0, covariance / ((1 + len(labels) / len(many)) * spread)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
