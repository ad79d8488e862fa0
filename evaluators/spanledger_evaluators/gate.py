"""The subcommands of ``spanledger eval``: parsed arguments in, reports and an exit code out."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import httpx

from . import reports
from .catalogue import build
from .command import FAIL, NOT_ENOUGH, PASS
from .compare import DEFAULT_MARGIN, compare
from .contract import Scorer
from .datasets import Dataset, DatasetError, load_dataset
from .experiments import Plan, Progress, begin, experiment
from .judge import Judge, JudgeSettings, Ledger
from .runs import Run, load
from .settings import EvalSettings
from .stats.calibration import calibrate
from .targets import RouteTarget, Target, function_target, import_function, recorded

_EXIT_OF = {"pass": PASS, "regression": FAIL, "inconclusive": NOT_ENOUGH}
_YES, _NO = frozenset({"1", "true", "pass", "yes", "good"}), frozenset({"0", "false", "fail", "no", "bad"})


async def run_experiment(given: argparse.Namespace, settings: EvalSettings) -> int:
    """Answer and score a dataset; 1 when a threshold is missed, 2 when nothing could be scored."""
    dataset = load_dataset(given.dataset).only(split=given.split, limit=given.limit)
    if not dataset.cases:
        raise DatasetError(f"{given.dataset}: no case of split {given.split!r}")
    out: Path = given.out or Path("runs") / f"{dataset.name.replace('/', '-')}.jsonl"
    async with httpx.AsyncClient(timeout=180) as client:
        judge = _judge(given, settings)
        try:
            scorers = [build(name.strip(), judge) for name in given.scorers.split(",") if name.strip()]
            run = begin(_new_run(given, dataset, out), out, resume=given.resume)
            plan = Plan(concurrency=given.concurrency, repeats=given.repeats, cap=given.cap)
            target = _target(given, settings, client)
            await experiment(run, dataset, target, scorers, plan, out=out, progress=_bar())
        finally:
            if judge is not None:
                await judge.aclose()
    return _report_run(given, run, scorers)


def compare_runs(given: argparse.Namespace) -> int:
    """Compare two runs; 0 pass, 1 regression, 2 not enough data."""
    margins: dict[str, float] = dict(given.margin)
    everywhere = margins.pop("", DEFAULT_MARGIN)
    found = compare(
        load(given.base), load(given.candidate), margins=margins, margin=everywhere, force=given.force
    )
    text = reports.comparison_markdown(found)
    print(text)
    _write(given.markdown, text)
    _write(given.json, reports.comparison_json(found))
    _write(given.junit, reports.comparison_junit(found))
    return _EXIT_OF[found.verdict]


def calibrate_run(given: argparse.Namespace) -> int:
    """Print how a run's verdicts agree with people's labels; 2 when no case has both."""
    values = load(given.run).values(given.metric)
    labels = _labels(given.labels)
    shared = [case_id for case_id in values if case_id in labels]
    if not shared:
        print("no case has both a score and a label", file=sys.stderr)
        return NOT_ENOUGH
    found = calibrate(
        [values[case_id] >= given.threshold for case_id in shared], [labels[case_id] for case_id in shared]
    )
    print(f"{found.n} cases, agreement {found.agreement.value:.3f}")
    print("kappa " + ("unknown: all verdicts are one" if found.kappa is None else f"{found.kappa:.3f}"))
    for name, rate in (("sensitivity", found.sensitivity), ("specificity", found.specificity)):
        told = (
            "unknown: no such labels"
            if rate is None
            else f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
        )
        print(f"{name} {told}")
    return PASS


def _new_run(given: argparse.Namespace, dataset: Dataset, out: Path) -> Run:
    target = given.function or given.route or "recorded"
    return Run(
        name=given.name or out.stem,
        dataset=dataset.name,
        dataset_version=dataset.version,
        target=target,
        metadata={
            "scorers": given.scorers,
            "judge": given.judge,
            "started": time.strftime("%FT%TZ", time.gmtime()),
        },
    )


def _judge(given: argparse.Namespace, settings: EvalSettings) -> Judge | None:
    if not given.judge:
        return None
    judging = JudgeSettings(
        model=given.judge,
        base_url=settings.gateway_url,
        key=settings.key,
        embedding_model=settings.embedding_model,
        in_flight=given.concurrency * 2,
    )
    return Judge(judging, ledger=Ledger(cap=given.cap))


def _target(given: argparse.Namespace, settings: EvalSettings, client: httpx.AsyncClient) -> Target:
    if given.function:
        sys.path.insert(0, "")  # the user's module stands where the command is called
        return function_target(import_function(given.function))
    if given.route:
        return RouteTarget(
            client=client,
            base_url=settings.gateway_url,
            model=given.route,
            key=settings.key,
            system=given.system,
        )
    return recorded


def _report_run(given: argparse.Namespace, run: Run, scorers: list[Scorer]) -> int:
    text = reports.run_markdown(run)
    print(text)
    means = {name: estimate for name, estimate in reports.summarise(run).items() if estimate is not None}
    failed: dict[str, str] = {}
    for limits, sign in ((given.at_least, 1), (given.at_most, -1)):
        for metric, limit in limits:
            found = means.get(metric)
            if found is None:
                failed[metric] = f"{metric} has no mean"
            elif sign * (found.value - limit) < 0:
                failed[metric] = f"{metric} {found.value:.3f} misses {limit:g}"
    held = [metric for metric, _ in [*given.at_least, *given.at_most]]
    for told in failed.values():
        print(f"FAIL: {told}", file=sys.stderr)
    _write(given.markdown, text)
    _write(given.json, reports.run_json(run))
    _write(given.junit, reports.thresholds_junit(run, failed, held))
    if failed:
        return FAIL
    return PASS if run.metrics() or not scorers else NOT_ENOUGH


def _labels(path: Path) -> dict[str, bool]:
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


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _bar() -> Progress | None:
    """A progress line on a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        filled = "#" * (30 * done // max(1, total))
        print(
            f"\r[{filled:<30}] {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True
        )

    return show
