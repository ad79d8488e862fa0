"""The row contract: what one call and one score look like at rest, from the SDK to a page.

Field names are the column names of the tables in ``collector/spanledger_collector/store/schema``;
a test holds the two equal. ``None`` means unknown and is stored as NULL; it is never 0.
Times are integer nanoseconds since the Unix epoch, UTC; durations end in ``_ns``.
Money is ``decimal.Decimal`` US dollars with nine digits after the point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Status = Literal["ok", "error", "cut", "cancelled"]
"""``cut``: the provider ended a stream early. ``cancelled``: the caller went away."""

CacheState = Literal["", "miss", "exact", "semantic", "off"]
"""Empty for spans that never met a cache."""

ScoreStatus = Literal[
    "ok", "judge_error", "no_verdict", "invalid", "timeout", "over_budget", "not_applicable"
]
ScoreSource = Literal["eval", "human", "sdk", "api", "judge", "match"]
"""``judge`` and ``match``: checks of cached answers, by a model and by equal text."""

EventKind = Literal[
    "alert", "route_switch", "budget_step", "config_change", "gate", "delivery", "baseline", "silence",
    "cache", "cache_bound", "cache_replay",
]  # fmt: skip
Severity = Literal["info", "warning", "critical"]

USAGE = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "image_units",
    "web_searches",
)
"""Fields of a call that count what was used: token buckets, images and searches, each in a unit of its own."""


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One finished span, as a row of ``spans``. Immutable once written.

    Token buckets are disjoint: ``input_tokens`` excludes what was read from or written to the
    provider's prompt cache, ``output_tokens`` excludes reasoning, audio and images. Their sum is the
    provider's own total. ``cost_total`` is the sum of the cost buckets, or None when unpriced.
    """

    # Who: the tenant comes from the ingest key, never from the payload.
    organisation: str = ""
    project: str
    team: str = ""
    feature: str = ""
    customer_id: str = ""
    user_id: str = ""
    session_id: str = ""
    key_id: str = ""
    tags: list[str] = field(default_factory=list[str])

    # Which: 16 and 8 raw bytes; an empty parent means a root span.
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""

    # When.
    start_time: int
    duration_ns: int
    ttft_ns: int | None = None
    tpot_ns: int | None = None
    queue_ns: int | None = None
    streaming: bool = False

    # What. ``operation`` is gen_ai.operation.name (chat, embeddings, retrieval, execute_tool, ...),
    # empty for a span that is no GenAI operation. ``kind`` is OpenTelemetry's span kind in lower case.
    name: str
    operation: str = ""
    kind: str = "internal"
    status: Status = "ok"
    status_message: str = ""
    error_type: str = ""
    purpose: str = ""  # empty for application traffic; eval, cache_check, probe, shadow, playground

    # Model call.
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    response_id: str = ""
    finish_reason: str = ""
    service_tier: str = ""
    region: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None

    # Usage, in disjoint buckets.
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None  # written for five minutes, or of untold lifetime
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    image_units: int | None = None
    web_searches: int | None = None
    usage_estimated: bool = False

    # Cost. Only a billable row (a distinct model call) carries any; ``billable_reason`` says why not.
    billable: bool = False
    billable_reason: str = ""
    cost_input: Decimal | None = None
    cost_cache_read: Decimal | None = None
    cost_cache_write: Decimal | None = None
    cost_output: Decimal | None = None
    cost_reasoning: Decimal | None = None
    cost_other: Decimal | None = None
    cost_total: Decimal | None = None
    cost_saved: Decimal | None = None  # what a cache hit would have cost
    cost_reported: Decimal | None = None  # what the provider or the instrumentation said
    price_source: str = ""
    price_version: str = ""

    # Serving: cache, route and fallback, each explained.
    cache: CacheState = ""
    cache_entry: str = ""
    cache_similarity: float | None = None
    cache_age_ns: int | None = None
    route: str = ""
    upstream: str = ""
    attempt: int = 0  # 1 for the first attempt; 0 where there are no attempts
    fallback_from: str = ""
    route_reason: str = ""
    server_address: str = ""

    # Self-hosted engine, at call time.
    gpu_pool: str = ""
    gpu_seconds: float | None = None
    prefill_ns: int | None = None
    decode_ns: int | None = None
    engine_running: int | None = None
    engine_waiting: int | None = None
    engine_kv_usage: float | None = None
    engine_prefix_hits: float | None = None

    # Prompt release, experiment, tool, guard.
    prompt_name: str = ""
    prompt_version: int | None = None
    prompt_label: str = ""
    experiment: str = ""
    agent_name: str = ""
    tool_name: str = ""
    guard_action: str = ""
    redactions: int = 0

    # Source.
    service: str = ""
    service_version: str = ""
    environment: str = ""
    sdk: str = ""  # name/version of the telemetry SDK
    scope: str = ""  # instrumentation scope
    dialect: str = ""  # which attribute vocabulary it was mapped from

    # Content. ``input`` and ``output`` are JSON: for a model call a list of messages
    # ``{"role": ..., "parts": [{"type": "text", "content": ...}, ...]}`` (OpenTelemetry's schema),
    # for any other span the recorded arguments and result. ``documents`` is a JSON list of
    # retrieved sources ``{"id", "content", "score", "source", "updated_at", "version"}``.
    input: str = ""
    output: str = ""
    documents: str = ""
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    resource: dict[str, str] = field(default_factory=dict[str, str])
    events: str = ""  # JSON list of the span's OpenTelemetry events
    links: str = ""  # JSON list of the span's links


@dataclass(slots=True, kw_only=True)
class Score:
    """One verdict about one span, as a row of ``scores``.

    ``value`` is a finite number, or None when ``status`` is anything but ``ok``.
    ``score_id`` is deterministic for evaluations, so scoring again replaces and never doubles.
    """

    project: str
    score_id: str
    trace_id: bytes
    span_id: bytes = b""  # empty: the score is about the whole trace
    name: str
    value: float | None = None
    label: str = ""
    explanation: str = ""
    status: ScoreStatus = "ok"
    source: ScoreSource = "eval"
    scorer: str = ""
    scorer_version: str = ""
    judge_id: str = ""
    higher_is_better: bool = True
    evaluator: str = ""  # the registry rule that asked for it
    sample_rate: float | None = None
    cost: Decimal | None = None
    author: str = ""
    time: int  # when the span it is about started, so that scores join to calls by time
    created_at: int
    route: str = ""
    upstream: str = ""
    request_model: str = ""


@dataclass(slots=True, kw_only=True)
class Event:
    """One entry of the audit trail: an alert, a route switch, a budget step, a changed document."""

    project: str
    event_id: str
    time: int
    kind: EventKind
    severity: Severity = "info"
    subject: str  # the route, budget or document it is about
    title: str
    message: str = ""
    evidence: str = ""  # JSON
    dedup_key: str = ""
    state: str = ""  # alerts: firing | resolved; switches: fallback | primary
    author: str = ""
