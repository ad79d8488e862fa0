"""An experiment: a target, a dataset and scorers in; a run out, row by row, so that a stop loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from .contract import Case, Result, Scorer
from .datasets import SLICE, Dataset
from .running import score_case
from .runs import Run, RunError, ScoredCase, load, write_head, write_row
from .storing import below, ids_of
from .targets import Answered, Target

Progress = Callable[[int, int], None]
"""Told how many of how many answers are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an experiment runs. ``cap`` in USD stops new cases once judging and answering cost so much."""

    concurrency: int = 8
    repeats: int = 1
    cap: Decimal | None = None
    timeout_s: float = 180.0


async def experiment(
    run: Run,
    dataset: Dataset,
    target: Target,
    scorers: Sequence[Scorer],
    plan: Plan,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    traced: bool = False,
) -> Run:
    """Answer and score every case that ``run`` does not hold yet; rows are appended to ``out`` as they come.

    A case whose target fails keeps its row with ``error`` and no results; the experiment goes on. ``traced``: what
    the target's code records becomes part of the case's trace, as ``storing.store_run`` stores it.
    """
    done = {(row.case_id, row.repeat) for row in run.rows}
    wanted = [(case, repeat) for repeat in range(plan.repeats) for case in dataset.cases]
    todo = [(case, repeat) for case, repeat in wanted if (case.id, repeat) not in done]
    total, finished = len(wanted), len(wanted) - len(todo)
    seats = asyncio.Semaphore(plan.concurrency)

    async def one(case: Case, repeat: int) -> None:
        nonlocal finished
        async with seats:
            with below(run, ids_of(run, case.id, repeat)) if traced else nullcontext():
                row = await _row(case, repeat, target, scorers, plan, spent=_spent(run))
        run.rows.append(row)
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.write(write_row(row) + "\n")
        finished += 1
        if progress is not None:
            progress(finished, total)

    async with asyncio.TaskGroup() as group:
        for case, repeat in todo:
            group.create_task(one(case, repeat))
    return run


def begin(run: Run, out: Path, *, resume: bool) -> Run:
    """The run that ``out`` holds, to go on with; or ``run``, its head written.

    Raises:
        RunError: the file is there and holds another run, or ``resume`` was not asked for.
    """
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(write_head(run) + "\n", encoding="utf-8")
        return run
    if not resume:
        raise RunError(f"{out} is there already: name another file, or go on with --resume")
    found = load(out)
    if (found.dataset, found.dataset_version, found.target) != (run.dataset, run.dataset_version, run.target):
        raise RunError(f"{out} holds a run of another dataset or target")
    # Without a last line that was cut, so that what is appended starts on a line of its own.
    lines = [write_head(found), *map(write_row, found.rows)]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return found


async def _row(
    case: Case, repeat: int, target: Target, scorers: Sequence[Scorer], plan: Plan, spent: Decimal
) -> ScoredCase:
    row = ScoredCase(
        case_id=case.id, repeat=repeat, cluster=case.cluster, slice=str(case.metadata.get(SLICE) or "")
    )
    if plan.cap is not None and spent >= plan.cap:
        results = [
            scorer.refuse("over_budget", f"the cap of {plan.cap} USD is used up") for scorer in scorers
        ]
        return replace(row, results=results)
    row = replace(row, begun_ns=time.time_ns())
    begun = time.monotonic_ns()
    answered = await _answer(case, target, plan.timeout_s)
    took = answered.duration_ns if answered.duration_ns is not None else time.monotonic_ns() - begun
    row = replace(row, answer=answered.case.answer, error=answered.error, trace_id=answered.trace_id)
    if answered.error:
        return replace(row, duration_ns=took)
    judged = replace(answered.case, metadata={"duration_ns": took, **answered.case.metadata})
    found = await asyncio.gather(
        *(score_case(scorer, judged, timeout_s=plan.timeout_s) for scorer in scorers)
    )
    results: list[Result] = [result for part in found for result in part]
    return replace(row, results=results, duration_ns=took)


async def _answer(case: Case, target: Target, timeout_s: float) -> Answered:
    try:
        async with asyncio.timeout(timeout_s):
            return await target(case)
    except TimeoutError:
        return Answered(case=case, error=f"no answer within {timeout_s:g} s")
    except Exception as failure:  # noqa: BLE001 -- the target is the user's code: the experiment goes on
        return Answered(case=case, error=f"{type(failure).__name__}: {failure}"[:1000])


def _spent(run: Run) -> Decimal:
    return sum((result.cost or Decimal(0) for row in run.rows for result in row.results), Decimal(0))
