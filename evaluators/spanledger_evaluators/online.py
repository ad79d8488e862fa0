"""Subcommands of ``spanledger eval`` that talk to the collector: datasets, stored runs, calibration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from . import calibrating, sources
from .command import NOT_ENOUGH, PASS
from .contract import Case
from .datasets import Dataset, DatasetError, load_dataset, save_dataset
from .runs import RunError, load
from .server import Collector
from .settings import EvalSettings
from .storing import store_run


async def calibrate_judge(given: argparse.Namespace, settings: EvalSettings) -> int:
    """Print how a judge's verdicts agree with people's labels; 2 when no answer has both."""
    if given.collector:
        async with httpx.AsyncClient(timeout=120) as client:
            window = {"since": given.since, "until": given.until}
            verdicts = await calibrating.of_collector(
                Collector(settings, client),
                given.metric,
                window,
                threshold=given.threshold,
                human=given.human,
                by=given.by,
            )
    elif given.run and given.labels:
        labels = calibrating.read_labels(given.labels)
        verdicts = calibrating.of_run(load(given.run), labels, given.metric)
    else:
        raise RunError("name a run and a file of labels, or --collector")
    if not any(verdict.label is not None for verdict in verdicts):
        print("no answer has both a score and a label", file=sys.stderr)
        return NOT_ENOUGH
    print(calibrating.report(verdicts, given.threshold))
    return PASS


async def push_run(given: argparse.Namespace, settings: EvalSettings) -> int:
    """Store a run that was made without the collector, or could not reach it."""
    async with httpx.AsyncClient(timeout=120) as client:
        collector = Collector(settings, client)
        run, dataset = load(given.run), await sources.load(given.dataset, collector)
        stored = await store_run(run, dataset.cases, collector)
    if stored < len(run.rows):
        raise RunError(
            f"{len(run.rows) - stored} of {len(run.rows)} rows are about cases that {given.dataset} lacks"
        )
    print(f"stored {stored} rows as experiment {run.name!r}")
    return PASS


async def make_dataset(given: argparse.Namespace, settings: EvalSettings) -> int:
    """Make a dataset and write it where it was asked for; 2 when there is no case for it."""
    async with httpx.AsyncClient(timeout=120) as client:
        collector = Collector(settings, client)
        cases = await _cases(given, collector)
        if not cases:
            print("no call fits: widen --since, or loosen the filter", file=sys.stderr)
            return NOT_ENOUGH
        splits: dict[str, float] = dict(getattr(given, "split", []))
        if splits:
            cases = sources.with_splits(cases, splits)
        name: str = getattr(given, "name", "")
        dataset = Dataset(name=name or "dataset", cases=tuple(cases))
        told = f"{len(cases)} cases"
        if name:
            version = await sources.store(dataset, name, collector, given.note)
            told += f", stored as dataset:{name}@{version}"
    out: Path | None = getattr(given, "out", None)
    if out is not None:
        save_dataset(dataset, out)
        told += f", written to {out}"
    print(told)
    return PASS


async def _cases(given: argparse.Namespace, collector: Collector) -> Sequence[Case]:
    if given.way == "pull":
        given.out = given.out or Path(f"{given.name.replace('/', '-')}.jsonl")
        return (await sources.load(sources.REGISTRY + given.name, collector)).cases
    if given.way == "push":
        given.name = given.name or given.file.stem
        return load_dataset(given.file).cases
    if not given.name and given.out is None:
        raise DatasetError("say where the cases go: --out FILE.jsonl, --name NAME, or both")
    window = {"since": given.since, "until": given.until}
    if given.way == "marked":
        return await sources.marked_calls(collector, given.label, window, limit=given.limit)
    query: dict[str, str | list[str]] = dict(window)
    for name, value in given.where:
        query[name] = [*query.get("tag", []), value] if name == "tag" else value
    return await sources.from_calls(collector, query, limit=given.limit, rate=given.rate)
