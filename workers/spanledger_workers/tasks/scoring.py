"""Online evaluation: new calls are planned, scored in batches, and sent again when their task was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from clickhouse_connect.driver.exceptions import Error as StoreError

from spanledger_collector.store.reads.evaluation import ended_jobs, pending_jobs
from spanledger_collector.store.writes_evaluation import Job, insert_jobs
from spanledger_evaluators.catalogue import CannotBuild
from spanledger_workers import metrics
from spanledger_workers.app import FAST, JUDGED, app
from spanledger_workers.clock import DAY, MINUTE
from spanledger_workers.current import process
from spanledger_workers.evaluation.caps import Caps
from spanledger_workers.evaluation.ending import end, over_cap, refuse, set_aside
from spanledger_workers.evaluation.handover import (
    Message,
    batches,
    job_message,
    planned_again,
    read_job,
    read_rule,
    rule_message,
)
from spanledger_workers.evaluation.pace import LONGEST_WAIT_S
from spanledger_workers.evaluation.planning import Planner
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.evaluation.scoring import score_jobs
from spanledger_workers.guard import MOST_TRIES, Attempts
from spanledger_workers.ticks import Did, tick

BATCH = {FAST: 50, JUDGED: 4}
LATER_S = 5
PACED_S = 60.0  # how long a batch is put off at most while its judge has no free turn
FEW = 60  # requests a minute below which a batch is one job, so that its turns come within a task's time
LOST_NS = 2 * MINUTE  # a job planned this long ago and not ended lost its task
SWEEP_MOST = 2000
BUSY = 200  # messages of a queue beyond which nothing is swept into it
STORE_RETRIES = 6

log = logging.getLogger("spanledger.worker")


@tick("plan", 2)
def plan() -> Did:
    """Find new calls and make jobs of those that rules want."""
    rules = process.documents().rules
    planner = Planner(store=process.store, redis=process.redis, hand_over=_send)
    return {"jobs": planner.tick(rules, process.clock()) if rules else 0}


@tick("sweep", 30)
def sweep() -> Did:
    """Send jobs again whose task was lost with the broker or a worker."""
    now = process.clock()
    lost = pending_jobs(process.store, oldest=now - DAY, before=now - LOST_NS, limit=SWEEP_MOST)
    rules = {(rule.project, rule.name): rule for rule in process.documents().rules}
    waiting = {queue: process.redis.llen(queue) for queue in BATCH}
    again: dict[tuple[str, str], list[Job]] = {}
    for row in lost:
        again.setdefault((row.project, row.evaluator), []).append(planned_again(row, now))
    sent = 0
    for address, jobs in again.items():
        rule = rules.get(address)
        if rule is None:
            end(process.store, jobs, "skipped", "the rule is gone", now)
            metrics.SKIPPED.labels(address[1], "the_rule_is_gone").inc(len(jobs))
        elif waiting[_queue(rule)] <= BUSY:  # behind a long queue jobs are late and not lost
            insert_jobs(process.store, jobs)  # touched now, so that the next sweep leaves them alone
            _send(rule, jobs)
            sent += len(jobs)
    return {"pending": len(lost), "sent_again": sent}


@app.task(name="spanledger.score", bind=True, max_retries=STORE_RETRIES)
def score(self: Any, rule: Message, jobs: list[Message]) -> None:
    """Score a batch of one rule's jobs; a job that breaks its worker is tried three times and set aside."""
    now, clock = process.clock(), time.monotonic_ns()
    batch = [read_job(job, now) for job in jobs]
    error = ""
    try:
        _score_guarded(read_rule(rule), batch)
    except StoreError as away:
        error = f"{type(away).__name__}: {away}"
        metrics.TASKS.labels("score", "retried").inc()
        raise self.retry(exc=away, countdown=min(60, 2 ** (self.request.retries + 1))) from away
    finally:
        process.journal.note(
            "score", now, time.monotonic_ns() - clock, {"jobs": len(batch)}, error, rare=False
        )


def _score_guarded(rule: Rule, batch: Sequence[Job]) -> None:
    """Count the try before the work. Raises StoreError, with the try taken back: the jobs are not at fault."""
    ids = [job.job_id for job in batch]
    attempts = Attempts(process.redis)
    counts = attempts.begin(ids)
    if len(batch) > 1 and max(counts.values()) > 1:
        attempts.take_back(ids)  # one of them broke its worker: find out which
        _send(rule, batch, size=1)
        return
    if max(counts.values()) > MOST_TRIES:
        set_aside(process.store, batch, "its worker died each time", counts, process.clock())
        attempts.forget(ids)
        return
    try:
        _score(rule, batch)
    except StoreError:
        attempts.take_back(ids)
        raise
    except Exception as fault:
        log.exception("scoring %d jobs of %s failed", len(batch), rule.name)
        if len(batch) == 1 and counts[ids[0]] >= MOST_TRIES:
            why = f"{type(fault).__name__}: {fault}"
            set_aside(process.store, batch, why, counts, process.clock())
            attempts.forget(ids)
        else:
            _send(rule, batch, size=1, countdown=LATER_S)
        return
    attempts.forget(ids)


def _score(rule: Rule, batch: Sequence[Job]) -> None:
    """Score what has not ended yet: a message may come twice, and a judge is not to be paid twice."""
    store = process.store
    times = [job.time for job in batch]
    over = ended_jobs(
        store, project=rule.project, evaluator=rule.name, low=min(times), high=max(times),
        job_ids=[job.job_id for job in batch],
    )  # fmt: skip
    batch = [job for job in batch if job.job_id not in over]
    if not batch:
        return
    try:
        scorers = process.scorers(rule)
    except (CannotBuild, ImportError) as wrong:
        refuse(store, rule, batch, str(wrong), process.clock())
        return
    pace = process.pace(rule)
    wait = pace.wait_s() if pace else 0.0
    if wait > LONGEST_WAIT_S:
        metrics.TASKS.labels("score", "paced").inc()
        _send(rule, batch, countdown=min(wait, PACED_S))
        return
    settings = process.settings
    caps = Caps(
        store=store,
        redis=process.redis,
        per_project=settings.eval_project_daily_cap,
        total=settings.eval_daily_cap,
    )
    grant = caps.reserve(rule, len(batch), process.clock())
    if grant.jobs < len(batch):
        over_cap(store, rule, batch[grant.jobs :], grant.why, process.clock())
    try:
        outcome = score_jobs(store, process.runner, rule, batch[: grant.jobs], scorers, clock=process.clock)
    finally:
        caps.release(grant)
    if outcome.later:
        _send(rule, outcome.later, countdown=LATER_S)


def _queue(rule: Rule) -> str:
    return JUDGED if rule.judge else FAST


def _send(rule: Rule, jobs: Sequence[Job], *, size: int = 0, countdown: float = 0) -> None:
    queue = _queue(rule)
    paced = rule.judge is not None and (rule.judge.get("requests_per_minute") or FEW) < FEW
    for batch in batches(jobs, size or (1 if paced else BATCH[queue])):
        arguments = (rule_message(rule), [job_message(job) for job in batch])
        score.apply_async(arguments, queue=queue, countdown=countdown)
