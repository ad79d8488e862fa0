"""Jobs and rules as task messages, and back: plain JSON values only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from spanledger_collector.store.reads.evaluation import PendingJob
from spanledger_collector.store.writes_evaluation import Job

from .rules import Rule

Message = dict[str, Any]


def rule_message(rule: Rule) -> Message:
    """A rule as JSON values, so that a batch is scored by the version that planned it."""
    return asdict(rule)


def read_rule(message: Message) -> Rule:
    """The rule of a message."""
    values: Message = {**message, **{name: tuple(message[name]) for name in ("scorers", "strata")}}
    return Rule(**values)


def job_message(job: Job) -> Message:
    """A job as JSON values."""
    return {
        "project": job.project,
        "job_id": job.job_id,
        "evaluator": job.evaluator,
        "evaluator_version": job.evaluator_version,
        "trace_id": job.trace_id.hex(),
        "span_id": job.span_id.hex(),
        "time": job.time,
    }


def read_job(message: Message, now: int) -> Job:
    """The job of a message, planned."""
    values: Message = {**message, "state": "planned", "updated_at": now}
    values |= {name: bytes.fromhex(message[name]) for name in ("trace_id", "span_id")}
    return Job(**values)


def planned_again(pending: PendingJob, now: int) -> Job:
    """A job whose task was lost, as it goes out again."""
    return read_job({name: getattr(pending, name) for name in PendingJob.__dataclass_fields__}, now)


def batches(jobs: Sequence[Job], size: int) -> Iterator[Sequence[Job]]:
    """The jobs in order, at most ``size`` at a time."""
    return (jobs[start : start + size] for start in range(0, len(jobs), size))
