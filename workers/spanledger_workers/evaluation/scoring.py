"""Jobs in; scores and the jobs' new states out. Doing a job twice writes the same scores twice: one remains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from spanledger.records import Score
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.evaluation import TraceSpan, traces
from spanledger_collector.store.writes_evaluation import Job, insert_jobs, insert_scores
from spanledger_evaluators.contract import Case, Result, Scorer
from spanledger_evaluators.running import score_cases
from spanledger_evaluators.traces import case_of, is_whole
from spanledger_workers import metrics
from spanledger_workers.clock import SECOND
from spanledger_workers.identity import identify

from .rules import HAS_DOCUMENTS, Rule

SPANS_MAY_COME_NS = 20 * SECOND  # after a call started, how long to wait for the rest of its trace


@dataclass(slots=True)
class Outcome:
    """What became of a batch; ``later`` are jobs whose trace is not complete yet."""

    scores: list[Score] = field(default_factory=list[Score])
    ended: list[Job] = field(default_factory=list[Job])
    later: list[Job] = field(default_factory=list[Job])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job with the call it is about and the case made of it."""

    job: Job
    call: TraceSpan
    case: Case


def prepare(rule: Rule, job: Job, trace: Sequence[TraceSpan], now: int) -> Prepared | Job:
    """The job ready for scoring, or the job again: ``planned`` to be tried later, or ``skipped``."""
    call = next((span for span in trace if span.span_id == job.span_id.hex()), None)
    if call is None:
        return replace(job, state="skipped", reason="the call is gone", updated_at=now)
    if now - job.time < SPANS_MAY_COME_NS and not is_whole(call, trace):
        return job
    case = case_of(call, trace)
    wanted = rule.filter.get(HAS_DOCUMENTS)
    if wanted is not None and bool(wanted) != bool(case.documents):
        if wanted and now - job.time < SPANS_MAY_COME_NS:
            return job
        reason = "no documents" if wanted else "has documents"
        return replace(job, state="skipped", reason=reason, updated_at=now)
    return Prepared(job, call, case)


def score_rows(rule: Rule, ready: Prepared, results: Sequence[Result], now: int) -> list[Score]:
    """The rows of ``scores`` for one call; their ids depend on the job and the score's name alone."""
    job, call = ready.job, ready.call
    rate = rule.rate_of(partial(getattr, call))
    return [
        Score(
            project=job.project,
            score_id=identify("score", job.job_id, result.name),
            trace_id=job.trace_id,
            span_id=job.span_id,
            name=result.name,
            value=result.value,
            label=result.label,
            explanation=result.explanation,
            status=result.status,
            scorer=result.scorer,
            scorer_version=result.scorer_version,
            judge_id=result.judge_id,
            higher_is_better=result.higher_is_better,
            evaluator=rule.name,
            sample_rate=rate,
            cost=result.cost,
            time=job.time,
            created_at=now,
            route=call.route,
            upstream=call.upstream,
            request_model=call.request_model,
        )
        for result in results
    ]


def score_jobs(
    store: Client,
    runner: asyncio.Runner,
    rule: Rule,
    jobs: Sequence[Job],
    scorers: Sequence[Scorer],
    *,
    clock: Callable[[], int],
    concurrency: int = 8,
) -> Outcome:
    """Score a batch of one rule's jobs and write what came out: scores first, then the jobs' states."""
    now = clock()
    found = traces(
        store,
        project=rule.project,
        trace_ids=[job.trace_id.hex() for job in jobs],
        near=[job.time for job in jobs],
    )
    outcome = Outcome()
    ready: list[Prepared] = []
    for job in jobs:
        made = prepare(rule, job, found.get(job.trace_id.hex(), ()), now)
        if isinstance(made, Prepared):
            ready.append(made)
        else:
            (outcome.later if made.state == "planned" else outcome.ended).append(made)
    cases = [entry.case for entry in ready]
    results = runner.run(score_cases(scorers, cases, concurrency=concurrency)) if cases else []
    now = clock()  # the loop reads scores by the moment they were made
    for entry, found_results in zip(ready, results, strict=True):
        outcome.scores += score_rows(rule, entry, found_results, now)
        outcome.ended.append(replace(entry.job, state="done", updated_at=now))
    insert_scores(store, outcome.scores)
    insert_jobs(store, outcome.ended)
    _count(rule, outcome, judged=len(ready) if rule.judge else 0)
    return outcome


def _count(rule: Rule, outcome: Outcome, judged: int) -> None:
    for score in outcome.scores:
        metrics.SCORES.labels(score.name, score.status).inc()
        metrics.JUDGING_USD.labels(rule.name).inc(float(score.cost or 0))
    metrics.JUDGED.labels(rule.name).inc(judged)
    for job in outcome.ended:
        if job.state == "skipped":
            metrics.SKIPPED.labels(rule.name, job.reason.replace(" ", "_")).inc()
