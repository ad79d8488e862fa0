"""Scores, jobs, events and dead letters in; one columnar insert each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from spanledger.records import Event, Score

from .clickhouse import Client

JobState = Literal["planned", "done", "skipped", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One evaluation of one call, as a row of ``eval_jobs``; times in ns since the epoch."""

    project: str
    job_id: str
    evaluator: str
    evaluator_version: int
    trace_id: bytes
    span_id: bytes
    time: int
    state: JobState
    reason: str = ""
    attempts: int = 0
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could never be done, with its reason; ``time`` in ns since the epoch."""

    project: str
    time: int
    source: str
    reason: str
    message: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSample:
    """One value that an engine said of itself; ``time`` in milliseconds since the epoch."""

    project: str
    gpu_pool: str
    upstream: str
    time: int
    model: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMeeting:
    """A past call that an entry would have answered; times in ns, ``replayed_at`` in ms since the epoch."""

    project: str
    route: str
    tier: str
    trace_id: bytes
    span_id: bytes
    start_time: int
    similarity: float
    partition: str
    origin_trace: bytes
    origin_span: bytes
    replayed_at: int


def score_id_of(trace: str, span: str, name: str, source: str, scorer: str, author: str) -> str:
    """The id of a score that names none, by its subject (ids in hex) and who says what: said again, it is the same."""
    told = "\x1f".join((trace, span, name, source, scorer, author))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def insert_scores(client: Client, scores: Sequence[Score]) -> None:
    """Write scores; the newest ``created_at`` of a ``score_id`` wins."""
    insert_rows(client, "scores", Score, scores)


def insert_jobs(client: Client, jobs: Sequence[Job]) -> None:
    """Write job states; the newest ``updated_at`` of a ``job_id`` wins."""
    insert_rows(client, "eval_jobs", Job, jobs)


def insert_events(client: Client, events: Sequence[Event]) -> None:
    """Write entries of the audit trail."""
    insert_rows(client, "events", Event, events)


def insert_dead_letters(client: Client, letters: Sequence[DeadLetter]) -> None:
    """Set aside what could never be done."""
    insert_rows(client, "dead_letters", DeadLetter, letters)


def insert_cache_meetings(client: Client, meetings: Sequence[CacheMeeting]) -> None:
    """Write what a replay found; found again, a meeting is the same row."""
    insert_rows(client, "cache_meetings", CacheMeeting, meetings)


def insert_engine_samples(client: Client, samples: Sequence[EngineSample]) -> None:
    """Write what engines said."""
    insert_rows(client, "engine_samples", EngineSample, samples)


def insert_rows(client: Client, table: str, kind: type[Any], rows: Sequence[Any]) -> None:
    """Write dataclasses of one kind as rows of a table with the same columns; the same rows again change nothing."""
    if not rows:
        return
    names = [entry.name for entry in fields(kind)]
    data = [[getattr(row, name) for name in names] for row in rows]
    # The same rows again, as after a lost answer, change nothing.
    token = hashlib.blake2b(repr(data).encode(), digest_size=16).hexdigest()
    client.insert(table, data, column_names=names, settings={"insert_deduplication_token": token})
