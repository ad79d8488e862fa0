"""The tasks, and nothing else: each is the edge where work meets Celery."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clickhouse_connect.driver.exceptions import Error as StoreError

from spanledger.records import Event
from spanledger_collector.store.reads.evaluation import pending_jobs
from spanledger_collector.store.settings import load_settings
from spanledger_collector.store.writes_evaluation import (
    DeadLetter,
    Job,
    insert_dead_letters,
    insert_events,
    insert_jobs,
)
from spanledger_evaluators.catalogue import JudgeNeeded, UnknownScorer

from .alerts.channels import Webhooks
from .alerts.outbox import Outbox
from .alerts.rules import AlertRules
from .app import FAST, JUDGED, app
from .audit import event, tell_once
from .budgets import Budgets
from .clock import DAY, MINUTE
from .evaluation.caps import Caps
from .evaluation.handover import (
    Message,
    batches,
    job_message,
    planned_again,
    read_job,
    read_rule,
    rule_message,
)
from .evaluation.planning import Planner
from .evaluation.rules import Rule
from .evaluation.scoring import score_jobs
from .guard import MOST_TRIES, Attempts, alone
from .loop.routes import Loop, watches
from .metering import engines
from .metering import meter as scrape
from .process import Process
from .settings import WorkerSettings

BATCH = {FAST: 50, JUDGED: 4}
LATER_S = 5
LOST_NS = 2 * MINUTE  # a job planned this long ago and not ended lost its task
SWEEP_MOST = 2000
STORE_RETRIES = 6

log = logging.getLogger("spanledger.worker")
process = Process(load_settings(WorkerSettings))


@app.task(name="spanledger.plan")
def plan() -> None:
    """Find new calls and make jobs of those that rules want."""
    with alone(process.redis, "plan", 60) as granted:
        rules = process.documents().rules
        if granted and rules:
            planner = Planner(store=process.store, redis=process.redis, hand_over=_send)
            planner.tick(rules, process.clock())


@app.task(name="spanledger.watch")
def watch() -> None:
    """Move routes whose primary's scores call for it."""
    with alone(process.redis, "watch", 60) as granted:
        watched = watches([(row.project, row.name, row.document) for row in process.documents().routes])
        if granted and watched:
            loop = Loop(store=process.store, redis=process.redis, canary=process.settings.canary_share)
            _log(loop.tick(watched, process.clock()))


@app.task(name="spanledger.budgets")
def budgets() -> None:
    """Raise budget counters to the store's spend and tell the steps that were reached."""
    with alone(process.redis, "budgets", 60) as granted:
        rows = [(row.project, row.name, row.document) for row in process.documents().budgets]
        if granted and rows:
            _log(Budgets(store=process.store, redis=process.redis).tick(rows, process.clock()))


@app.task(name="spanledger.alerts")
def alerts() -> None:
    """Measure alert rules, then send what the channels have not got yet."""
    with alone(process.redis, "alerts", 240) as granted:
        if not granted:
            return
        rules = [(row.project, row.name, row.document) for row in process.documents().alerts]
        if rules:
            _log(AlertRules(store=process.store).tick(rules, process.clock()))
        settings = process.settings
        webhooks = Webhooks(secret=settings.webhook_secret, allow_private=settings.webhook_allow_private)
        if settings.channels or any(rule.channels for _, _, rule in rules):
            outbox = Outbox(
                store=process.store, redis=process.redis, default=settings.channels, webhooks=webhooks
            )
            outbox.tick(rules, process.clock())


@app.task(name="spanledger.meter")
def meter() -> None:
    """Store what the engines say of themselves."""
    with alone(process.redis, "meter", 120) as granted:
        documents = process.documents()
        wanted = engines(
            [(row.project, row.name, row.document) for row in documents.upstreams],
            [(row.project, row.name, row.document) for row in documents.pools],
        )
        if granted and wanted:
            scrape(process.store, wanted, process.clock())


@app.task(name="spanledger.sweep")
def sweep() -> None:
    """Send jobs again whose task was lost with the broker or a worker."""
    with alone(process.redis, "sweep", 60) as granted:
        if not granted:
            return
        now = process.clock()
        lost = pending_jobs(process.store, oldest=now - DAY, before=now - LOST_NS, limit=SWEEP_MOST)
        rules = {(rule.project, rule.name): rule for rule in process.documents().rules}
        again: dict[tuple[str, str], list[Job]] = {}
        for row in lost:
            again.setdefault((row.project, row.evaluator), []).append(planned_again(row, now))
        for address, jobs in again.items():
            rule = rules.get(address)
            if rule is None:
                _end(jobs, "skipped", "the rule is gone")
                continue
            insert_jobs(process.store, jobs)  # touched now, so that the next sweep leaves them alone
            _send(rule, jobs)


@app.task(name="spanledger.score", bind=True, max_retries=STORE_RETRIES)
def score(self: Any, rule: Message, jobs: list[Message]) -> None:
    """Score a batch of one rule's jobs; a job that breaks its worker is tried three times and set aside."""
    now = process.clock()
    batch = [read_job(job, now) for job in jobs]
    ids = [job.job_id for job in batch]
    attempts = Attempts(process.redis)
    counts = attempts.begin(ids)
    if len(batch) > 1 and max(counts.values()) > 1:
        attempts.take_back(ids)  # one of them broke its worker: find out which
        _send(read_rule(rule), batch, size=1)
        return
    if max(counts.values()) > MOST_TRIES:
        _set_aside(batch, "its worker died each time", counts)
        attempts.forget(ids)
        return
    try:
        _score(read_rule(rule), batch)
    except StoreError as away:
        attempts.take_back(ids)
        raise self.retry(exc=away, countdown=min(60, 2 ** (self.request.retries + 1))) from away
    except Exception as fault:
        log.exception("scoring %d jobs of %s failed", len(batch), rule["name"])
        if len(batch) == 1 and counts[ids[0]] >= MOST_TRIES:
            _set_aside(batch, f"{type(fault).__name__}: {fault}", counts)
            attempts.forget(ids)
        else:
            _send(read_rule(rule), batch, size=1, countdown=LATER_S)
        return
    attempts.forget(ids)


def _score(rule: Rule, batch: Sequence[Job]) -> None:
    try:
        scorers = process.scorers(rule)
    except (UnknownScorer, JudgeNeeded, ImportError) as wrong:
        _refuse(rule, batch, str(wrong))
        return
    caps = Caps(store=process.store, redis=process.redis)
    grant = caps.reserve(rule, len(batch), process.clock())
    if grant.jobs < len(batch):
        _over_cap(rule, batch[grant.jobs :], grant.why)
    try:
        granted = batch[: grant.jobs]
        outcome = score_jobs(process.store, process.runner, rule, granted, scorers, clock=process.clock)
    finally:
        caps.release(rule, grant)
    if outcome.later:
        _send(rule, outcome.later, countdown=LATER_S)


def _log(events: Sequence[Event]) -> None:
    for told in events:
        if told.kind != "alert":  # its cause is told beside it
            log.warning("%s: %s", told.title, told.message)


def _send(rule: Rule, jobs: Sequence[Job], *, size: int = 0, countdown: float = 0) -> None:
    queue = JUDGED if rule.judge else FAST
    for batch in batches(jobs, size or BATCH[queue]):
        arguments = (rule_message(rule), [job_message(job) for job in batch])
        score.apply_async(arguments, queue=queue, countdown=countdown)


def _refuse(rule: Rule, batch: Sequence[Job], why: str) -> None:
    """The rule cannot be followed: its jobs end, and people hear of it once for each version."""
    key = f"evaluator:{rule.name}:{rule.version}"
    identity = ("evaluator", rule.name, rule.version, why)
    _skip(rule, batch, why, "cannot score", key, identity, process.clock())


def _over_cap(rule: Rule, batch: Sequence[Job], why: str) -> None:
    """Jobs beyond the cap end unscored, and people hear of it once a day for each rule."""
    now = process.clock()
    day = now // DAY
    key, identity = f"cap:{rule.name}:{day}", ("cap", rule.name, day)
    _skip(rule, batch, why, "reached its daily cap", key, identity, now)


def _skip(
    rule: Rule, batch: Sequence[Job], why: str, what: str, key: str, identity: tuple[object, ...], now: int
) -> None:
    """End the jobs unscored and raise one alert for each ``identity``."""
    told = event(
        "alert",
        project=rule.project,
        subject=rule.name,
        time=now,
        title=f"Evaluator {rule.name} {what}",
        message=why,
        severity="warning",
        state="firing",
        dedup_key=key,
        identity=identity,
    )
    tell_once(process.store, rule.project, [told])
    _end(batch, "skipped", why)


def _set_aside(batch: Sequence[Job], why: str, counts: dict[str, int]) -> None:
    now = process.clock()
    letters = [
        DeadLetter(
            project=job.project,
            time=now,
            source="task",
            reason="poison",
            message=why,
            payload=str(job_message(job)),
        )
        for job in batch
    ]
    insert_dead_letters(process.store, letters)
    told = [
        event(
            "alert",
            project=job.project,
            subject=job.evaluator,
            time=now,
            title=f"A job of evaluator {job.evaluator} was set aside after {MOST_TRIES} tries",
            message=why,
            severity="warning",
            state="firing",
            dedup_key=f"job:{job.job_id}",
            identity=("set aside", job.job_id),
        )
        for job in batch
    ]
    insert_events(process.store, told)
    _end(batch, "dead", why, counts)


def _end(jobs: Sequence[Job], state: Any, why: str, counts: dict[str, int] | None = None) -> None:
    now = process.clock()
    tries = counts or {}
    ended = [
        replace(
            job,
            state=state,
            reason=why[:500],
            attempts=min(MOST_TRIES, tries.get(job.job_id, 0)),
            updated_at=now,
        )
        for job in jobs
    ]
    insert_jobs(process.store, ended)
