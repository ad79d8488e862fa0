"""``spanledger eval calibrate``: a judge's verdicts beside people's labels, as a whole, by slice and over time.

Verdicts and labels come from a run and a file of labels, or both from the collector, where people's scores
(``source`` human) stand beside the judge's on the same answers.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .datasets import DatasetError
from .runs import Run
from .server import Collector, Query, Row
from .stats.calibration import Calibration, NotCorrectable, calibrate, ppi_plus_plus, rogan_gladen
from .stats.intervals import Estimate, wilson

_YES, _NO = frozenset({"1", "true", "pass", "yes", "good"}), frozenset({"0", "false", "fail", "no", "bad"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judged answer; ``label`` is what people said of it, None where nobody did. ``month`` as 2026-11."""

    value: float
    label: bool | None = None
    slice: str = ""
    month: str = ""


def of_run(run: Run, labels: Mapping[str, bool], metric: str) -> list[Verdict]:
    """Every case of the run with a value, and its label where there is one."""
    rows = run.cases()
    return [
        Verdict(
            value=value,
            label=labels.get(case_id),
            slice=rows[case_id].slice,
            month=_month(rows[case_id].begun_ns or 0),
        )
        for case_id, value in run.values(metric).items()
    ]


async def of_collector(
    collector: Collector, metric: str, query: Query, *, threshold: float, human: str = "", by: str = "route"
) -> list[Verdict]:
    """Every answer that ``metric`` judged in the window, with the label of people's score ``human`` (default: same name).

    ``by`` is the column of the score that slices.
    """
    subjects: dict[tuple[str, str], Row] = {}
    labels: dict[tuple[str, str], bool] = {}
    async for row in collector.scores({**query, "name": metric, "source": "eval", "status": "ok"}):
        if row["value"] is not None:
            subjects[row["trace_id"], row["span_id"]] = row
    async for row in collector.scores({**query, "name": human or metric, "source": "human", "status": "ok"}):
        said = _said(row, threshold)
        if said is not None:
            labels[row["trace_id"], row["span_id"]] = said
    return [
        Verdict(
            value=float(row["value"]),
            label=labels.get(subject),
            slice=str(row.get(by) or ""),
            month=_month(int(row["time"])),
        )
        for subject, row in subjects.items()
    ]


def report(verdicts: Sequence[Verdict], threshold: float) -> str:
    """Agreement as Markdown: of all, by slice, by month; then the pass rate with the judge's errors allowed for."""
    labelled = [verdict for verdict in verdicts if verdict.label is not None]
    whole = _calibration(labelled, threshold)
    parts = [
        f"{whole.n} of {len(verdicts)} judged answers have a label",
        _confusion(whole),
        _table({"all": labelled}, threshold, ""),
    ]
    for title, key in (("slice", _slice_of), ("month", _month_of)):
        groups = _groups(labelled, key)
        if len(groups) > 1:
            parts.append(_table(groups, threshold, title))
    parts.append("\n".join(_corrected(verdicts, labelled, whole, threshold)))
    return "\n\n".join(parts)


def read_labels(path: Path) -> dict[str, bool]:
    """Labels by case from a CSV with columns ``case_id`` and ``label``.

    Raises:
        DatasetError: another shape, or a word that is no label; with its line.
    """
    found: dict[str, bool] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            word = str(row.get("label") or "").strip().lower()
            if "case_id" not in row or word not in _YES | _NO:
                raise DatasetError(
                    f"{path}:{number}: columns are case_id and label (pass/fail, 1/0, true/false)"
                )
            found[str(row["case_id"])] = word in _YES
    return found


def _said(row: Row, threshold: float) -> bool | None:
    word = str(row.get("label") or "").strip().lower()
    if row["value"] is not None:
        return float(row["value"]) >= threshold
    return word in _YES if word in _YES | _NO else None


def _calibration(labelled: Sequence[Verdict], threshold: float) -> Calibration:
    return calibrate(
        [verdict.value >= threshold for verdict in labelled], [bool(verdict.label) for verdict in labelled]
    )


def _groups(labelled: Sequence[Verdict], key: Callable[[Verdict], str]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in labelled:
        found.setdefault(key(verdict), []).append(verdict)
    return dict(sorted(found.items()))


def _confusion(found: Calibration) -> str:
    return (
        "| | people: pass | people: fail |\n|---|---|---|\n"
        f"| judge: pass | {found.true_positive} | {found.false_positive} |\n"
        f"| judge: fail | {found.false_negative} | {found.true_negative} |"
    )


def _table(groups: Mapping[str, Sequence[Verdict]], threshold: float, title: str) -> str:
    lines = [f"| {title} | labels | agreement | kappa | TPR | TNR |", "|---|---|---|---|---|---|"]
    for name, labelled in groups.items():
        found = _calibration(labelled, threshold)
        kappa = "unknown: one kind of verdict" if found.kappa is None else f"{found.kappa:.3f}"
        rates = (_rate(found.sensitivity), _rate(found.specificity))
        lines.append(
            f"| {name or '-'} | {found.n} | {_rate(found.agreement)} | {kappa} | {' | '.join(rates)} |"
        )
    return "\n".join(lines)


def _corrected(
    verdicts: Sequence[Verdict], labelled: Sequence[Verdict], whole: Calibration, threshold: float
) -> list[str]:
    judged = [float(verdict.value >= threshold) for verdict in verdicts]
    raw = wilson(sum(judged), len(judged))
    lines = [f"Pass rate as judged: {_rate(raw)} (the judge's errors are in it)"]
    rest = [float(verdict.value >= threshold) for verdict in verdicts if verdict.label is None]
    labels = [float(bool(verdict.label)) for verdict in labelled]
    of_labelled = [float(verdict.value >= threshold) for verdict in labelled]
    for name, condition, correct in (
        (
            "PPI++",
            "the labelled answers are a random sample of these",
            lambda: ppi_plus_plus(labels, of_labelled, rest),
        ),
        (
            "Rogan-Gladen",
            "the judge errs as it did on the labelled answers",
            lambda: rogan_gladen(raw, whole),
        ),
    ):
        try:
            lines.append(f"Pass rate by {name}: {_rate(correct())} (if {condition})")
        except NotCorrectable as why:
            lines.append(f"Pass rate by {name}: refused: {why}")
    return lines


def _rate(found: Estimate | None) -> str:
    return (
        "unknown: no such labels"
        if found is None
        else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    )


def _slice_of(verdict: Verdict) -> str:
    return verdict.slice


def _month_of(verdict: Verdict) -> str:
    return verdict.month


def _month(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m}" if ns else ""
