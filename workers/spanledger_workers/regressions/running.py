"""One regression run: cases answered and scored slice by slice, kept as they come; at the end a verdict, told once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from spanledger.records import Event, Severity
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.evaluation import Regression
from spanledger_collector.store.regressions import RegressionRow, insert_regression_rows, run_lines
from spanledger_evaluators.compare import Comparison, NotComparable, compare
from spanledger_evaluators.contract import Scorer
from spanledger_evaluators.datasets import Dataset
from spanledger_evaluators.experiments import Plan, experiment
from spanledger_evaluators.runs import Run, read_row, write_row
from spanledger_evaluators.targets import Target
from spanledger_workers.audit import event

AT_ONCE = 8
SLICE_S = 150.0
"""After so long a run goes back to the queue, well before the limit of its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run under way."""

    project: str
    name: str
    run_id: str
    why: str
    document: Regression


async def run_slice(
    store: Client,
    begun: Begun,
    dataset: Dataset,
    target: Target,
    scorers: Sequence[Scorer],
    *,
    slice_s: float | None = None,
) -> Run | None:
    """Answer cases that have no row yet, for a while; the whole run once every case has one, else None."""
    run = read_run(store, begun, dataset)
    deadline = time.monotonic() + (SLICE_S if slice_s is None else slice_s)
    plan = Plan(concurrency=AT_ONCE, cap=begun.document.cap)
    while len(run.rows) < len(dataset.cases):
        done = {row.case_id for row in run.rows}
        part = tuple(case for case in dataset.cases if case.id not in done)[:AT_ONCE]
        before = len(run.rows)
        await experiment(run, Dataset(name=dataset.name, cases=part), target, scorers, plan)
        rows = [
            RegressionRow(
                project=begun.project,
                regression=begun.name,
                run_id=begun.run_id,
                case_id=row.case_id,
                time=time.time_ns(),
                line=write_row(row),
            )
            for row in run.rows[before:]
        ]
        insert_regression_rows(store, rows)
        if len(run.rows) == before:
            break  # cases of one id: nothing is left to do
        if time.monotonic() > deadline and len(run.rows) < len(dataset.cases):
            return None
    return run


def read_run(store: Client, begun: Begun, dataset: Dataset, run_id: str = "") -> Run:
    """A run as far as it is kept."""
    wanted = run_id or begun.run_id
    lines = run_lines(store, project=begun.project, regression=begun.name, run_id=wanted)
    rows = [read_row(line) for line in lines]
    return Run(
        name=f"{begun.name} {wanted[:8]}",
        dataset=dataset.name,
        dataset_version=dataset.version,
        target=begun.document.route,
        rows=rows,
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run means: ``baseline`` is the first of its kind, which later ones are compared with."""

    state: str  # pass | regression | inconclusive | baseline
    message: str
    metrics: dict[str, Any]


def judge(run: Run, base: Run | None, document: Regression) -> Verdict:
    """Compare with the last run that passed; a run of other cases, or of another scorer, begins anew."""
    unanswered = sum(bool(row.error) for row in run.rows)
    if not run.metrics():
        error = next((row.error for row in run.rows if row.error), "no scorer gave a value")
        return Verdict("inconclusive", f"nothing could be scored: {error}", {})
    if base is None or not base.rows:
        return Verdict(
            "baseline", f"{len(run.rows)} cases, {unanswered} unanswered: the baseline", _means(run)
        )
    try:
        found = compare(base, run, margins=document.margins, margin=document.margin)
    except NotComparable as wrong:
        return Verdict("baseline", f"a new baseline, for the last cannot be compared: {wrong}", _means(run))
    return Verdict(found.verdict, _words(found, unanswered), _shown(found))


def _means(run: Run) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in run.metrics():
        values = list(run.values(name).values())
        made[name] = {"mean": sum(values) / len(values) if values else None, "cases": len(values)}
    return made


def _shown(found: Comparison) -> dict[str, Any]:
    return {
        one.metric: {
            "verdict": one.verdict,
            "base": one.base_mean,
            "candidate": one.candidate_mean,
            "difference": one.difference.value,
            "low": one.difference.low,
            "high": one.difference.high,
            "margin": one.margin,
            "cases": one.cases,
            "missing": one.missing,
            "worst": [case.case_id for case in one.worst],
        }
        for one in found.metrics
    }


def _words(found: Comparison, unanswered: int) -> str:
    parts = [
        f"{one.metric} {one.base_mean:.3f} -> {one.candidate_mean:.3f}"
        f" [{one.difference.low:+.3f}, {one.difference.high:+.3f}] {one.verdict}"
        for one in found.metrics
    ]
    return "; ".join(parts) + (f"; {unanswered} unanswered" if unanswered else "")


def verdict_events(
    begun: Begun, verdict: Verdict, *, depends: dict[str, int], period: int, base: str, firing: bool, now: int
) -> list[Event]:
    """The verdict for the trail, and an alert when it got worse or is well again."""
    titles = {
        "pass": "passed",
        "baseline": "has a baseline",
        "regression": "found a regression",
        "inconclusive": "is inconclusive",
        "failed": "could not be run",
    }
    severities: dict[str, Severity] = {
        "regression": "critical",
        "inconclusive": "warning",
        "failed": "warning",
    }
    common: dict[str, Any] = {
        "project": begun.project,
        "subject": begun.name,
        "time": now,
        "title": f"Regression {begun.name} {titles[verdict.state]}",
        "message": f"{verdict.message} ({begun.why})",
        "severity": severities.get(verdict.state, "info"),
        "dedup_key": f"regression:{begun.name}",
    }
    evidence = {"run_id": begun.run_id, "depends": depends, "period": period, "metrics": verdict.metrics}
    # What later runs are compared with: this one if it is good, else the one it was compared with.
    kept = begun.run_id if verdict.state in ("pass", "baseline") else base
    identity = ("gate", begun.name, begun.run_id, verdict.state)
    told = [
        event("gate", state=verdict.state, evidence={**evidence, "base": kept}, identity=identity, **common)
    ]
    bad = verdict.state in ("regression", "failed")
    if bad or (firing and verdict.state in ("pass", "baseline")):
        alerted = ("alert", "regression", begun.name, begun.run_id, verdict.state)
        told.append(event("alert", state="firing" if bad else "resolved", identity=alerted, **common))
    return told


def client() -> httpx.AsyncClient:
    """For the route's answers."""
    return httpx.AsyncClient(timeout=180)
