"""/api/cache: verdicts on answers from the cache, and entries that must go."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from spanledger_collector.store.kept_answers import KeptAnswers, KeptAnswersAwayError, Selection

from .asking import Store
from .callers import Caller, caller_with
from .problems import Refusal
from .scores import ScoreBody, ScoresBody, Writer, post_scores

router = APIRouter(prefix="/api/cache", tags=["cache"])

Admin = Annotated[Caller, Depends(caller_with("admin"))]
EntryId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Text = Annotated[str, Field(max_length=2000)]

SCORE = "cache_hit_correct"


class VerdictBody(BaseModel):
    """Whether an answer from the cache was right; the ids name the call that got it, or would have."""

    model_config = ConfigDict(extra="forbid")

    correct: StrictBool
    trace_id: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")]
    span_id: Annotated[str, Field(pattern="^[0-9a-fA-F]{16}$")]
    comment: Annotated[str, Field(max_length=10_000)] = ""
    author: Annotated[str, Field(max_length=500, description="Who says so; default: the key.")] = ""


class JudgedBody(BaseModel):
    """The score that was stored; whether an entry was deleted."""

    score_id: str
    dropped: bool


class InvalidateBody(BaseModel):
    """Which entries go: all that is given must fit, and something must be given."""

    model_config = ConfigDict(extra="forbid")

    route: Text = ""
    prompt: Annotated[str, Field(max_length=500, description="`name` or `name@version`")] = ""
    corpus: Text = ""
    tag: Text = ""
    user: Text = ""
    query: Annotated[str, Field(max_length=10_000, description="The question, word for word")] = ""
    entry: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = ""


class DeletedBody(BaseModel):
    """How many entries were deleted."""

    deleted: int


@router.post("/entries/{entry}/verdict")
def judge_entry(
    request: Request, store: Store, caller: Writer, entry: EntryId, body: VerdictBody
) -> JudgedBody:
    """Say whether a hit was right. A wrong one's entry is deleted, and no gateway serves it 2 s later."""
    # First the entry: a wrong answer that is still served is worse than a verdict that has to be sent again.
    dropped = not body.correct and _dropped(request, caller.project, entry)
    score = ScoreBody(
        trace_id=body.trace_id,
        span_id=body.span_id,
        name=SCORE,
        value=float(body.correct),
        explanation=body.comment,
        source="human",
        author=body.author,
    )
    stored = post_scores(request, store, caller, ScoresBody(scores=[score]))
    return JudgedBody(score_id=stored.score_ids[0], dropped=dropped)


@router.post("/invalidate")
def invalidate(request: Request, caller: Admin, body: InvalidateBody) -> DeletedBody:
    """Delete kept answers: of a route, a prompt's or corpus' version, a tag, a user, a question, or one entry."""
    selection = Selection(**body.model_dump())
    if selection.is_empty:
        raise Refusal(422, f"say which entries: {', '.join(InvalidateBody.model_fields)}")
    try:
        return DeletedBody(deleted=_kept(request).invalidate(caller.project, selection))
    except KeptAnswersAwayError as away:
        raise Refusal(503, f"{away}; nothing, or not all, was deleted: ask again") from away


def _dropped(request: Request, project: str, entry: str) -> bool:
    try:
        return _kept(request).drop(project, entry, "wrong")
    except KeptAnswersAwayError as away:
        raise Refusal(503, f"{away}; the entry may still be served: ask again") from away


def _kept(request: Request) -> KeptAnswers:
    kept: KeptAnswers | None = request.app.state.kept
    if kept is None:
        raise Refusal(503, "this collector has no Redis, which holds the kept answers")
    return kept
