"""/api/calls and /api/traces: filters in, lines of calls, one call, one trace out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from spanledger_collector.store.reads import calls as reads
from spanledger_collector.store.reads import traces

from .asking import Asked, Limit, Reader, SpanId, Store, TraceId
from .problems import Refusal

router = APIRouter(prefix="/api", tags=["calls"])


class CallPage(BaseModel):
    """One page of calls, newest first."""

    calls: list[dict[str, Any]]


class TraceBody(BaseModel):
    """The spans of one trace in order of time, and every score about it."""

    trace_id: str
    spans: list[dict[str, Any]]
    scores: list[dict[str, Any]]


@router.get("/calls")
def list_calls(
    store: Store,
    caller: Reader,
    window: Asked,
    limit: Limit = 100,
    model: Annotated[str | None, Query()] = None,
) -> CallPage:
    """Model calls of the window, newest first."""
    which = reads.CallFilter(equal={"model": model} if model else {})
    return CallPage(calls=reads.calls(store, caller.project, window, which, limit=limit))


@router.get("/calls/{trace_id}/{span_id}")
def get_call(store: Store, caller: Reader, trace_id: TraceId, span_id: SpanId) -> dict[str, Any]:
    """One span with everything recorded about it."""
    found = traces.span(store, caller.project, trace_id, span_id)
    if found is None:
        raise Refusal(404, f"there is no span {span_id} in trace {trace_id}")
    return found


@router.get("/traces/{trace_id}")
def get_trace(store: Store, caller: Reader, trace_id: TraceId) -> TraceBody:
    """A trace: its spans without content, and its scores."""
    spans = traces.trace(store, caller.project, trace_id)
    if not spans:
        raise Refusal(404, f"there is no trace {trace_id}")
    scores = traces.trace_scores(store, caller.project, trace_id)
    return TraceBody(trace_id=trace_id.lower(), spans=spans, scores=scores)
