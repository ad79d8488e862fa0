"""Two runs over the same cases in; for each metric regression, pass or inconclusive, and why, out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .runs import Run, ScoredCase
from .stats.intervals import Estimate
from .stats.multiplicity import adjust
from .stats.paired import McNemar, cases_needed, difference, mcnemar, p_above, p_below

Verdict = Literal["regression", "pass", "inconclusive"]

ALPHA = 0.05
LEAST_OVERLAP = 0.9
DEFAULT_MARGIN = 0.05
_SHOWN = 5


class NotComparable(ValueError):
    """The two runs do not measure the same thing; the message says in what they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDifference:
    """One case's values in both runs; ``change`` is positive where the candidate is better."""

    case_id: str
    base: float
    candidate: float
    change: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """What the runs say about one metric.

    ``difference`` and ``margin`` are in the metric's own unit, turned so that more is better.
    ``p_worse`` is corrected for the number of metrics; ``cases_needed`` would decide an
    inconclusive verdict, if the differences stay as spread as they are.
    """

    metric: str
    verdict: Verdict
    base_mean: float
    candidate_mean: float
    difference: Estimate
    margin: float
    p_worse: float
    p_within_margin: float
    mcnemar: McNemar | None
    cases: int
    missing: int
    cases_needed: int | None
    best: list[CaseDifference]
    worst: list[CaseDifference]
    slices: dict[str, Estimate] = field(default_factory=dict[str, Estimate])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All metrics; the verdict of the whole is the worst of them."""

    base: str
    candidate: str
    metrics: list[MetricComparison]
    warnings: list[str]

    @property
    def verdict(self) -> Verdict:
        """``regression`` when any metric regressed, ``pass`` when all passed, else ``inconclusive``."""
        verdicts = {metric.verdict for metric in self.metrics}
        if "regression" in verdicts:
            return "regression"
        return "pass" if verdicts == {"pass"} else "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paired:
    ids: list[str]
    base: list[float]
    candidate: list[float]
    clusters: list[Hashable] | None
    labels: list[str]
    missing: int
    higher_is_better: bool

    def turned(self, values: Sequence[float]) -> list[float]:
        return list(values) if self.higher_is_better else [-value for value in values]


def compare(
    base: Run,
    candidate: Run,
    *,
    margins: Mapping[str, float] | None = None,
    margin: float = DEFAULT_MARGIN,
    force: bool = False,
) -> Comparison:
    """Compare the candidate with the base, case by case.

    ``margin`` is the loss that would be accepted, per metric in ``margins``. A case that the base
    scored and the candidate did not counts as the worst value, for a run that answers only what it
    can would otherwise win.

    Raises:
        NotComparable: dataset, judge or scorer version differ, or too few cases are in both (``force``
            turns these into warnings); or no metric is in both.
    """
    warnings = _mismatches(base, candidate)
    if warnings and not force:
        raise NotComparable("; ".join(warnings))
    shared = [name for name in base.metrics() if name in set(candidate.metrics())]
    if not shared:
        raise NotComparable("no metric was scored in both runs")
    paired = {name: _pair(base, candidate, name) for name in shared}
    found = {name: _estimate(pairs) for name, pairs in paired.items() if len(pairs.ids) >= 2}
    if not found:
        raise NotComparable("fewer than two cases were scored in both runs")
    worse = dict(zip(found, adjust([p_below(estimate, 0.0) for estimate in found.values()]), strict=True))
    metrics = [
        _judge(name, paired[name], estimate, worse[name], (margins or {}).get(name, margin))
        for name, estimate in found.items()
    ]
    return Comparison(base=base.name, candidate=candidate.name, metrics=metrics, warnings=warnings)


def verdict(estimate: Estimate, p_worse: float, margin: float) -> tuple[Verdict, float]:
    """The three-way verdict on a difference where more is better, and the p value of a loss beyond the margin.

    ``pass``: a loss beyond the margin is excluded. ``regression``: it is not, and a loss is proven.
    Each at half of ALPHA, as the two sides of one interval. All metrics must pass for the whole to
    pass, so that side needs no correction for their number; ``p_worse`` comes corrected.
    """
    within = p_above(estimate, -margin)
    if estimate.low > -margin:
        return "pass", within
    if p_worse < ALPHA / 2 and estimate.high < 0:
        return "regression", within
    return "inconclusive", within


def _judge(name: str, pairs: _Paired, estimate: Estimate, p_worse: float, margin: float) -> MetricComparison:
    decided, within = verdict(estimate, p_worse, margin)
    changes = _changes(pairs)
    return MetricComparison(
        metric=name,
        verdict=decided,
        base_mean=sum(pairs.base) / len(pairs.base),
        candidate_mean=sum(pairs.candidate) / len(pairs.candidate),
        difference=estimate,
        margin=margin,
        p_worse=p_worse,
        p_within_margin=within,
        mcnemar=_mcnemar(pairs),
        cases=len(pairs.ids),
        missing=pairs.missing,
        cases_needed=_needed(pairs, estimate, margin) if decided == "inconclusive" else None,
        best=[change for change in changes[::-1] if change.change > 0][:_SHOWN],
        worst=[change for change in changes if change.change < 0][:_SHOWN],
        slices=_slices(pairs),
    )


def _mismatches(base: Run, candidate: Run) -> list[str]:
    found: list[str] = []
    if base.dataset_version != candidate.dataset_version or base.dataset != candidate.dataset:
        found.append(
            f"different datasets: {base.dataset}@{base.dataset_version} and"
            f" {candidate.dataset}@{candidate.dataset_version}"
        )
    for name in sorted(set(base.metrics()) & set(candidate.metrics())):
        for what, of in (("scorer version", Run.scorer_versions), ("judge", Run.judges)):
            before, after = of(base, name), of(candidate, name)
            if before != after:
                found.append(f"different {what} of {name}: {_listed(before)} and {_listed(after)}")
    ids, other = set(base.ids()), set(candidate.ids())
    overlap = len(ids & other) / max(1, len(ids | other))
    if overlap < LEAST_OVERLAP:
        found.append(f"only {overlap:.0%} of the cases are in both runs")
    return found


def _pair(base: Run, candidate: Run, metric: str) -> _Paired:
    """Values of the cases that the base scored, means over repeats; a missing one is the worst there is."""
    before, after = base.values(metric), candidate.values(metric)
    higher = base.higher_is_better(metric)
    attempted = set(candidate.ids())
    ids = [case_id for case_id in before if case_id in after or case_id in attempted]
    known = [*before.values(), *after.values()]
    worst = min([0.0, *known]) if higher else max([1.0, *known])
    cases: Mapping[str, ScoredCase] = base.cases()
    clusters = [cases[case_id].cluster or case_id for case_id in ids]
    return _Paired(
        ids=ids,
        base=[before[case_id] for case_id in ids],
        candidate=[after.get(case_id, worst) for case_id in ids],
        clusters=list(clusters) if len(set(clusters)) < len(ids) else None,
        labels=[cases[case_id].slice for case_id in ids],
        missing=sum(case_id not in after for case_id in ids),
        higher_is_better=higher,
    )


def _estimate(pairs: _Paired) -> Estimate:
    base, candidate = pairs.base, pairs.candidate
    if not pairs.higher_is_better:
        base, candidate = candidate, base  # base - candidate: positive where the candidate is better
    return difference(base, candidate, pairs.clusters)


def _changes(pairs: _Paired) -> list[CaseDifference]:
    turned = zip(pairs.turned(pairs.base), pairs.turned(pairs.candidate), strict=True)
    rows = zip(pairs.ids, pairs.base, pairs.candidate, turned, strict=True)
    made = [
        CaseDifference(case_id=case_id, base=before, candidate=after, change=good - old)
        for case_id, before, after, (old, good) in rows
    ]
    return sorted(made, key=lambda change: (change.change, change.case_id))


def _slices(pairs: _Paired) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for label in sorted(set(pairs.labels) - {""}):
        at = [index for index, own in enumerate(pairs.labels) if own == label]
        if len(at) < 2:
            continue
        part = _Paired(
            ids=[pairs.ids[i] for i in at],
            base=[pairs.base[i] for i in at],
            candidate=[pairs.candidate[i] for i in at],
            clusters=None,
            labels=[],
            missing=0,
            higher_is_better=pairs.higher_is_better,
        )
        found[label] = _estimate(part)
    return found


def _mcnemar(pairs: _Paired) -> McNemar | None:
    if not {*pairs.base, *pairs.candidate} <= {0.0, 1.0}:
        return None
    both = list(zip(pairs.base, pairs.candidate, strict=True))
    return mcnemar(both.count((1.0, 0.0)), both.count((0.0, 1.0)))


def _needed(pairs: _Paired, estimate: Estimate, margin: float) -> int | None:
    """Cases after which the margin would be excluded with 80 % power, were there no true loss."""
    if margin <= 0:
        return None
    steps = [after - before for before, after in zip(pairs.base, pairs.candidate, strict=True)]
    mean = sum(steps) / len(steps)
    spread = sum((step - mean) ** 2 for step in steps) / (len(steps) - 1)
    design = 1.0
    if estimate.se > 0 and spread > 0:  # clusters make each case worth less
        design = max(1.0, estimate.se**2 * len(steps) / spread)
    # An interval that excludes the margin on one side at 2.5 % is one side of a two-sided 5 % test.
    needed = cases_needed(margin, max(spread, margin**2) * design)
    return max(needed, len(steps) + 1)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
