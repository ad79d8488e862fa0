"""Jobs that end without a score in; their last state, dead letters, and one alert for each reason out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.writes_evaluation import (
    DeadLetter,
    Job,
    JobState,
    insert_dead_letters,
    insert_events,
    insert_jobs,
)
from spanledger_workers import metrics
from spanledger_workers.audit import event, tell_once
from spanledger_workers.clock import DAY
from spanledger_workers.guard import MOST_TRIES

from .handover import job_message
from .rules import Rule


def refuse(store: Client, rule: Rule, batch: Sequence[Job], why: str, now: int) -> None:
    """The rule cannot be followed: its jobs end, and people hear of it once for each version."""
    key = f"evaluator:{rule.name}:{rule.version}"
    identity = ("evaluator", rule.name, rule.version, why)
    _skip(store, rule, batch, why, "cannot score", key, identity, now)


def over_cap(store: Client, rule: Rule, batch: Sequence[Job], why: str, now: int) -> None:
    """Jobs beyond the cap end unscored, and people hear of it once a day for each rule."""
    day = now // DAY
    key, identity = f"cap:{rule.name}:{day}", ("cap", rule.name, day)
    _skip(store, rule, batch, why, "reached its daily cap", key, identity, now)


def _skip(
    store: Client,
    rule: Rule,
    batch: Sequence[Job],
    why: str,
    what: str,
    key: str,
    identity: tuple[object, ...],
    now: int,
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
    tell_once(store, rule.project, [told])
    end(store, batch, "skipped", why, now)
    metrics.SKIPPED.labels(rule.name, what.replace(" ", "_")).inc(len(batch))


def set_aside(store: Client, batch: Sequence[Job], why: str, counts: dict[str, int], now: int) -> None:
    """Tried often enough: each job becomes a dead letter, and people hear of it."""
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
    insert_dead_letters(store, letters)
    metrics.DEAD_LETTERS.labels("poison").inc(len(letters))
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
    insert_events(store, told)
    end(store, batch, "dead", why, now, counts)


def end(
    store: Client,
    jobs: Sequence[Job],
    state: JobState,
    why: str,
    now: int,
    counts: dict[str, int] | None = None,
) -> None:
    """Write the jobs' last state."""
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
    insert_jobs(store, ended)
