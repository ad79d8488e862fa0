"""Run scorers over cases: cases in, checked results out, and no exception of a scorer gets through."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .contract import Case, JudgeFailure, Outcome, Result, Scorer, checked
from .judge.ledger import Usage, tally

DEFAULT_TIMEOUT_S = 180.0
Progress = Callable[[int, Sequence[Result]], None]
"""Told the position of a case and its results as each case ends."""


async def score_case(scorer: Scorer, case: Case, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[Result]:
    """All results of one scorer about one case; a failure is a result with a status."""
    with tally() as usage:
        outcome = await _outcome(scorer, case, timeout_s)
    results = [outcome] if isinstance(outcome, Result) else list(outcome)
    if not results:
        results = [scorer.refuse("no_verdict", "the scorer returned no result")]
    return _billed([checked(result, scorer.bounds) for result in results], usage)


async def _outcome(scorer: Scorer, case: Case, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            answer = scorer.score(case)
            return await answer if inspect.isawaitable(answer) else answer
    except JudgeFailure as failure:
        return scorer.refuse(failure.status, str(failure))
    except TimeoutError:
        return scorer.refuse("timeout", f"no verdict within {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 -- a scorer is a guest's code: the batch goes on
        return scorer.refuse("judge_error", f"{type(error).__name__}: {error}"[:2000])


def _billed(results: list[Result], usage: Usage) -> list[Result]:
    """Sign results with their judge; the cost stands on the first, so that a sum over rows is right."""
    judge = "+".join(sorted(usage.judges))
    if not judge:
        return results
    first = replace(results[0], judge_id=judge, cost=usage.cost)
    return [first, *(replace(result, judge_id=judge) for result in results[1:])]


async def score_cases(
    scorers: Sequence[Scorer],
    cases: Iterable[Case],
    *,
    concurrency: int = 8,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    progress: Progress | None = None,
) -> list[list[Result]]:
    """Results of every scorer for every case, in the order of the cases; ``concurrency`` cases at once."""
    if concurrency < 1:
        raise ValueError("concurrency is at least 1")
    seats = asyncio.Semaphore(concurrency)

    async def one(position: int, case: Case) -> list[Result]:
        async with seats:
            parts = await asyncio.gather(
                *(score_case(scorer, case, timeout_s=timeout_s) for scorer in scorers)
            )
            results = [result for part in parts for result in part]
            if progress is not None:
                progress(position, results)
            return results

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(position, case)) for position, case in enumerate(cases)]
    return [task.result() for task in tasks]
