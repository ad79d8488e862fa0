"""A run in; one span a case and one score a result at the collector out, where the pages compare experiments.

A case's ids are made of the run and the case, so that storing a run again, whole or in part, changes nothing, and a
call made for the case can be told its parent before the case has ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from opentelemetry import context, trace

import spanledger
from spanledger import semconv

from .contract import Case, Result
from .runs import Run, ScoredCase
from .server import Collector

DATASET, DATASET_VERSION = "spanledger.dataset.name", "spanledger.dataset.version"
CASE_ID, CASE_REPEAT = "spanledger.case.id", "spanledger.case.repeat"
CASE_SLICE, CASE_CLUSTER = "spanledger.case.slice", "spanledger.case.cluster"
TARGET = "spanledger.experiment.target"
SPAN_NAME = "experiment case"
_SPANS_AT_ONCE = 200

Ids = tuple[str, str]
"""Trace and span id of a case, in hex."""


def ids_of(run: Run, case_id: str, repeat: int) -> Ids:
    """The ids under which a case of a run is stored."""
    told = "\x1f".join(
        (run.name, run.dataset, run.dataset_version, run.target, str(run.metadata.get("started", "")))
    )
    digest = hashlib.blake2b(f"{told}\x1f{case_id}\x1f{repeat}".encode(), digest_size=24).hexdigest()
    return digest[:32], digest[32:]


@contextmanager
def below(run: Run, ids: Ids) -> Generator[None]:
    """Make every span of the code inside, of any instrumentation, part of the case's trace and of the experiment."""
    place = trace.SpanContext(
        int(ids[0], 16), int(ids[1], 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(place)))
    try:
        with spanledger.span("experiment target", purpose="eval", experiment=run.name):
            yield
    finally:
        context.detach(token)


async def store_run(run: Run, cases: Sequence[Case], collector: Collector) -> int:
    """Store every row of a run whose case is known; how many were stored.

    Raises:
        CollectorError: the collector is away or refuses; what was stored stays, and storing again completes it.
    """
    known = {case.id: case for case in cases}
    rows = [row for row in run.rows if row.case_id in known]
    for start in range(0, len(rows), _SPANS_AT_ONCE):
        part = rows[start : start + _SPANS_AT_ONCE]
        spans = [_span(run, row, known[row.case_id]) for row in part]
        scope = {"scope": {"name": "spanledger.evaluators"}, "spans": spans}
        resource = {"attributes": [_attribute("service.name", "spanledger-eval")]}
        await collector.post_spans({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})
        await collector.post_scores([_score(run, row, result) for row in part for result in row.results])
    return len(rows)


def _span(run: Run, row: ScoredCase, case: Case) -> dict[str, Any]:
    trace_id, span_id = ids_of(run, row.case_id, row.repeat)
    begun = row.begun_ns or _begun(run)
    told = {
        semconv.EXPERIMENT: run.name,
        semconv.PURPOSE: "eval",
        semconv.INPUT: case.question,
        semconv.OUTPUT: row.answer,
        DATASET: run.dataset,
        DATASET_VERSION: run.dataset_version,
        TARGET: run.target,
        CASE_ID: row.case_id,
        CASE_REPEAT: row.repeat,
        CASE_SLICE: row.slice,
        CASE_CLUSTER: row.cluster,
    }
    status: dict[str, Any] = {"code": 2, "message": row.error} if row.error else {"code": 0}
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "name": SPAN_NAME,
        "kind": 1,
        "startTimeUnixNano": str(begun),
        "endTimeUnixNano": str(begun + (row.duration_ns or 0)),
        "attributes": [_attribute(name, value) for name, value in told.items() if value not in ("", None)],
        "status": status,
    }


def _score(run: Run, row: ScoredCase, result: Result) -> dict[str, Any]:
    trace_id, span_id = ids_of(run, row.case_id, row.repeat)
    told = {
        "trace_id": trace_id,
        "span_id": span_id,
        "name": result.name,
        "value": result.value,
        "label": result.label[:500],
        "explanation": result.explanation[:100_000],
        "status": result.status,
        "source": "eval",
        "score_id": hashlib.blake2b(f"{trace_id}{span_id}{result.name}".encode(), digest_size=16).hexdigest(),
        "scorer": result.scorer[:500],
        "scorer_version": result.scorer_version[:500],
        "judge_id": result.judge_id[:500],
        "higher_is_better": result.higher_is_better,
        "cost": None if result.cost is None else str(round(result.cost, 9)),
        "evaluator": run.name[:500],
        "time": row.begun_ns or _begun(run),
    }
    return {name: value for name, value in told.items() if value is not None}


def _attribute(name: str, value: str | int) -> dict[str, Any]:
    kept = {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
    return {"key": name, "value": kept}


def _begun(run: Run) -> int:
    """When a run began, for rows that do not tell; ns."""
    started = str(run.metadata.get("started", ""))
    try:
        return int(datetime.fromisoformat(started).timestamp() * 1000) * 10**6
    except ValueError:
        return time.time_ns()
