"""The subcommands of ``spanledger eval``: parsed arguments in, reports and an exit code out."""

from __future__ import annotations

import argparse
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from . import reports
from .catalogue import ScorerOptions, build
from .command import FAIL, NOT_ENOUGH, PASS
from .compare import DEFAULT_MARGIN, compare
from .contract import Scorer
from .datasets import Dataset, DatasetError
from .experiments import Plan, Progress, begin, experiment
from .judge import Judge, JudgeSettings, Ledger
from .runs import Run, load
from .server import Collector, CollectorError
from .settings import EvalSettings
from .sources import load as load_source
from .storing import store_run
from .targets import (
    RouteTarget,
    Target,
    TargetError,
    function_target,
    import_function,
    prompt_release,
    recorded,
)

_EXIT_OF = {"pass": PASS, "regression": FAIL, "inconclusive": NOT_ENOUGH}


async def run_experiment(given: argparse.Namespace, settings: EvalSettings) -> int:
    """Answer and score a dataset; 1 when a threshold is missed, 2 when nothing could be scored."""
    async with httpx.AsyncClient(timeout=180) as client:
        collector = Collector(settings, client)
        dataset = (await load_source(given.dataset, collector)).only(split=given.split, limit=given.limit)
        if not dataset.cases:
            raise DatasetError(f"{given.dataset}: no case of split {given.split!r}")
        out: Path = given.out or Path("runs") / f"{dataset.name.replace('/', '-')}.jsonl"
        judge, stored = _judge(given, settings), bool(settings.key) if given.store is None else given.store
        try:
            scorers = _scorers(given, judge)
            run = begin(_new_run(given, dataset, out), out, resume=given.resume)
            plan = Plan(concurrency=given.concurrency, repeats=given.repeats, cap=given.cap)
            target = await _target(given, settings, client, run)
            await experiment(
                run,
                dataset,
                target,
                scorers,
                plan,
                out=out,
                progress=_bar(),
                traced=stored and bool(settings.key),
            )
        finally:
            if judge is not None:
                await judge.aclose()
        code = _report_run(given, run, scorers)
        if stored:
            await _store(run, dataset, collector, given.dataset, out)
    return code


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


async def _store(run: Run, dataset: Dataset, collector: Collector, address: str, out: Path) -> None:
    """Store the run; the verdict stands either way, since the file holds everything."""
    try:
        await store_run(run, dataset.cases, collector)
        print(f"stored as experiment {run.name!r}", file=sys.stderr)
    except CollectorError as wrong:
        again = f"spanledger eval push {out} {address}"
        print(f"the run is in {out} but not stored: {wrong}; later: {again}", file=sys.stderr)


def _scorers(given: argparse.Namespace, judge: Judge | None) -> list[Scorer]:
    options: dict[str, Any] = {}
    if given.options is not None:
        try:
            options = tomllib.loads(given.options.read_text(encoding="utf-8"))["options"]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as wrong:
            raise ScorerOptions(f"{given.options}: expected tables [options.SCORER]: {wrong}") from wrong
    names = [name.strip() for name in given.scorers.split(",") if name.strip()]
    unused = sorted(set(options) - set(names))
    if unused:
        raise ScorerOptions(f"{given.options}: {unused[0]!r} is not among --scorers")
    return [build(name, judge, options.get(name)) for name in names]


def _new_run(given: argparse.Namespace, dataset: Dataset, out: Path) -> Run:
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    asked = given.function or " ".join(filter(None, (given.prompt, given.route)))
    return Run(
        name=given.name or f"{out.stem} {started[:19].replace('T', ' ')}",
        dataset=dataset.name,
        dataset_version=dataset.version,
        target=asked or "recorded",
        metadata={
            "scorers": given.scorers,
            "judge": given.judge,
            "started": started,
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


async def _target(
    given: argparse.Namespace, settings: EvalSettings, client: httpx.AsyncClient, run: Run
) -> Target:
    if given.function and given.route:
        raise TargetError("--function and --route exclude each other")
    if given.function:
        sys.path.insert(0, "")  # the user's module stands where the command is called
        return function_target(import_function(given.function))
    if given.prompt and not given.route:
        raise TargetError("--prompt needs --route, the route or model that answers")
    if given.route:
        collector = Collector(settings, client)
        return RouteTarget(
            client=client,
            base_url=settings.gateway_url,
            model=given.route,
            key=settings.key,
            system=given.system,
            prompt=await prompt_release(collector, given.prompt) if given.prompt else None,
            experiment=run.name,
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
