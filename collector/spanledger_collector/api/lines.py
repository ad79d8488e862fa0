"""The shapes of answers, for OpenAPI and for clients made from it. Times in ns since the epoch, ids in hex."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer
from typing_extensions import TypedDict

from spanledger_collector.store.reads.events import EventRow

Usd = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str)]
"""US dollars: a plain decimal string in JSON, never an exponent."""


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of any shape, its money as plain decimal strings."""
    return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in row.items()}


class CallLine(TypedDict):
    """One span in a list: who, what, how long, how much; money in USD as a decimal string."""

    trace: str
    span: str
    start_ns: int
    duration_ns: int
    ttft_ns: int | None
    name: str
    operation: str
    status: str
    status_message: str
    error_type: str
    provider: str
    model: str
    tokens: int | None
    input_tokens: int | None
    cache_read_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_estimated: bool
    cost_total: Usd | None
    cost_saved: Usd | None
    billable: bool
    team: str
    feature: str
    user_id: str
    session_id: str
    route: str
    upstream: str
    cache: str
    fallback_from: str
    purpose: str
    environment: str
    service: str
    customer_id: str
    finish_reason: str
    prompt_name: str
    prompt_version: int | None
    tags: list[str]
    output_start: str


class ScoreLine(TypedDict):
    """One verdict; ``value`` is null when ``status`` is not ``ok``."""

    score_id: str
    trace_id: str
    span_id: str
    name: str
    value: float | None
    label: str
    explanation: str
    status: str
    source: str
    scorer: str
    scorer_version: str
    judge_id: str
    higher_is_better: bool
    evaluator: str
    sample_rate: float | None
    cost: Usd | None
    author: str
    time: int
    created_at: int
    route: str
    upstream: str
    request_model: str


class CallPage(BaseModel):
    """One page of calls; ``next`` is the cursor of the page after it, null on the last one."""

    calls: list[CallLine]
    next: str | None


class ScorePage(BaseModel):
    """One page of scores."""

    scores: list[ScoreLine]
    next: str | None


class EventPage(BaseModel):
    """One page of events."""

    events: list[EventRow]
    next: str | None


class PersonBody(BaseModel):
    """One session or one user of a window; ``users`` names at most ten."""

    id: str
    calls: int
    traces: int
    errors: int
    unpriced: int
    cost: Usd
    first: int
    last: int
    sessions: int
    users: list[str]


class PersonPage(BaseModel):
    """One page of sessions or users."""

    items: list[PersonBody]
    next: str | None


class TraceBody(BaseModel):
    """The spans of one trace in order of time without content, and every score about it."""

    trace_id: str
    spans: list[dict[str, Any]]
    scores: list[dict[str, Any]]
