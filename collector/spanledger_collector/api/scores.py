"""POST /api/scores: verdicts of people and programs in; rows of ``scores``, each once, out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from spanledger.records import Score, ScoreSource, ScoreStatus
from spanledger_collector.ingest.redact import Rules
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.scored import Subject, known_times, subjects
from spanledger_collector.store.writes_evaluation import insert_scores, score_id_of

from .asking import Store
from .callers import Caller, caller_with

router = APIRouter(prefix="/api", tags=["ledger"])

Writer = Annotated[Caller, Depends(caller_with("ingest"))]
Short = Annotated[str, Field(max_length=500)]
LATEST = 2**63 - 1


class ScoreBody(BaseModel):
    """One verdict about a span, or about a trace when ``span_id`` is empty.

    Sent again (same key, subject, name and source, or same ``score_id``) it replaces what was said before.
    """

    model_config = ConfigDict(extra="forbid")

    trace_id: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")]
    span_id: Annotated[str, Field(pattern="^([0-9a-fA-F]{16})?$")] = ""
    name: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    label: Short = ""
    explanation: Annotated[str, Field(max_length=100_000)] = ""
    status: ScoreStatus = "ok"
    source: ScoreSource = "api"
    score_id: Annotated[
        str, Field(max_length=200, description="Default: made of the subject, name and author.")
    ] = ""
    author: Annotated[Short, Field(description="Who says so; default: the key.")] = ""
    time: Annotated[
        int | None, Field(ge=0, le=LATEST, description="Start of an unknown span, ns; default: now.")
    ] = None
    scorer: Short = ""
    scorer_version: Short = ""
    judge_id: Short = ""
    higher_is_better: bool = True
    evaluator: Short = ""
    sample_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    cost: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.status == "ok" and self.value is None and not self.label:
            raise ValueError("a score with status ok has a value or a label")
        if self.status != "ok" and self.value is not None:
            raise ValueError("only a score with status ok has a value")
        return self

    @property
    def subject(self) -> tuple[str, str]:
        """Trace and span id, as they are stored."""
        return self.trace_id.lower(), self.span_id.lower()


class ScoresBody(BaseModel):
    """Verdicts to store together."""

    scores: Annotated[list[ScoreBody], Field(min_length=1, max_length=500)]


class StoredBody(BaseModel):
    """The ids of the scores stored, in the order sent."""

    score_ids: list[str]


@router.post("/scores")
def post_scores(request: Request, store: Store, caller: Writer, body: ScoresBody) -> StoredBody:
    """Store verdicts, redacted as the project's spans are; the same again changes nothing."""
    writer: Client = request.app.state.registry.client
    said = _redacted(request, caller.project, body.scores)
    now = time.time_ns()
    traces = sorted({entry.subject[0] for entry in said})
    ids = [entry.score_id or _score_id(caller, entry) for entry in said]
    about = subjects(store, caller.project, traces)
    times = known_times(store, caller.project, traces, ids)
    rows = {
        name: _score(caller, entry, name, about.get(entry.subject), times.get(name), now)
        for name, entry in zip(ids, said, strict=True)
    }
    insert_scores(writer, list(rows.values()))
    return StoredBody(score_ids=ids)


def _redacted(request: Request, project: str, scores: Sequence[ScoreBody]) -> list[ScoreBody]:
    rules: Rules = request.app.state.rules
    rules.refresh()
    words: list[dict[str, Any]] = [{"explanation": entry.explanation} for entry in scores]
    request.app.state.redacted(rules.redact(project, words))
    return [entry.model_copy(update=texts) for entry, texts in zip(scores, words, strict=True)]


def _score_id(caller: Caller, entry: ScoreBody) -> str:
    return score_id_of(*entry.subject, entry.name, entry.source, entry.scorer, entry.author or caller.key.id)


def _score(
    caller: Caller, entry: ScoreBody, name: str, about: Subject | None, stored_at: int | None, now: int
) -> Score:
    began = next((at for at in (stored_at, about and about.start, entry.time) if at is not None), now)
    where = about or Subject(began)
    return Score(
        project=caller.project,
        score_id=name,
        trace_id=bytes.fromhex(entry.trace_id),
        span_id=bytes.fromhex(entry.span_id),
        name=entry.name,
        value=entry.value,
        label=entry.label,
        explanation=entry.explanation,
        status=entry.status,
        source=entry.source,
        scorer=entry.scorer,
        scorer_version=entry.scorer_version,
        judge_id=entry.judge_id,
        higher_is_better=entry.higher_is_better,
        evaluator=entry.evaluator,
        sample_rate=entry.sample_rate,
        cost=entry.cost,
        author=entry.author or caller.key.id,
        time=began,
        created_at=now,
        route=where.route,
        upstream=where.upstream,
        request_model=where.request_model,
    )
