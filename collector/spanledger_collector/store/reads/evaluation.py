"""What workers ask of the store: new calls, whole traces, jobs, recent scores and spend per budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import Client, ask, ask_one

MODEL_OPERATIONS = ("chat", "text_completion", "generate_content")
BUDGET_FIELDS = ("organisation", "team", "key_id", "user_id", "route", "feature", "model", "upstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """The head of one model call; ids in lower-case hex, times in ns since the epoch."""

    project: str
    trace_id: str
    span_id: str
    start_time: int
    inserted_at: int  # ns, of millisecond resolution
    operation: str
    team: str
    feature: str
    user_id: str
    route: str
    upstream: str
    request_model: str
    environment: str
    prompt_name: str
    cache: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """One span of a trace with its content; ids in lower-case hex, ``parent_span_id`` empty for a root."""

    project: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_time: int
    duration_ns: int
    ttft_ns: int | None
    operation: str
    status: str
    input: str
    output: str
    documents: str
    cost_total: Decimal | None
    input_tokens: int | None
    output_tokens: int | None
    route: str
    upstream: str
    request_model: str
    team: str = ""
    feature: str = ""
    user_id: str = ""
    environment: str = ""
    prompt_name: str = ""
    cache: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJob:
    """A job that was planned and has not ended."""

    project: str
    job_id: str
    evaluator: str
    evaluator_version: int
    trace_id: str
    span_id: str
    time: int


@dataclass(frozen=True, slots=True)
class TimedScore:
    """One usable score, made at ``created_at`` about a call that started at ``time`` (ns)."""

    time: int
    created_at: int
    value: float
    upstream: str
    request_model: str


_NEW_CALLS = """
SELECT project, lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    toUnixTimestamp64Nano(spans.start_time) AS start_time,
    toUnixTimestamp64Milli(spans.inserted_at) * 1000000 AS inserted_at, operation, team, feature, user_id, route, upstream,
    request_model, environment, prompt_name, cache
FROM spans
WHERE spans.inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND spans.inserted_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
    AND spans.start_time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
    AND operation IN {operations:Array(String)} AND billable AND status = 'ok' AND purpose = ''
    AND (spans.inserted_at, spans.trace_id, spans.span_id) > (fromUnixTimestamp64Milli({after:Int64}, 'UTC'),
        toFixedString(unhex({after_trace:String}), 16), toFixedString(unhex({after_span:String}), 8))
ORDER BY spans.inserted_at, spans.trace_id, spans.span_id
LIMIT {limit:UInt32}
"""


def new_calls(
    client: Client, *, since: int, until: int, oldest: int, limit: int, after: NewCall | None = None
) -> list[NewCall]:
    """Model calls of applications inserted in ``since <= t < until`` and started after ``oldest``, in that order.

    Times in ns; ``inserted_at`` has a resolution of one millisecond. ``after``: the last call of the page before.
    """
    parameters = {
        "since": since // 1_000_000,
        "until": until // 1_000_000,
        "oldest": oldest,
        "operations": list(MODEL_OPERATIONS),
        "limit": limit,
        "after": after.inserted_at // 1_000_000 if after else 0,
        "after_trace": after.trace_id if after else "",
        "after_span": after.span_id if after else "",
    }
    return [NewCall(**row) for row in ask(client, _NEW_CALLS, parameters)]


_TRACES = """
SELECT project, lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    lower(hex(spans.parent_span_id)) AS parent_span_id, toUnixTimestamp64Nano(spans.start_time) AS start_time,
    duration_ns, ttft_ns, operation, status, input, output, documents,
    cost_total, input_tokens, output_tokens, route, upstream, request_model, team, feature, user_id, environment,
    prompt_name, cache
FROM spans
WHERE project = {project:String}
    AND spans.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
    AND spans.start_time BETWEEN fromUnixTimestamp64Nano({low:Int64}, 'UTC') AND fromUnixTimestamp64Nano({high:Int64}, 'UTC')
ORDER BY spans.start_time, spans.span_id
LIMIT 1 BY spans.trace_id, spans.span_id
"""
_TRACE_REACH_NS = 3_600_000_000_000  # spans of one trace start within an hour of the call


def traces(
    client: Client, *, project: str, trace_ids: Iterable[str], near: Sequence[int]
) -> dict[str, list[TraceSpan]]:
    """All spans of the traces, by trace id, in order of start. ``near``: start times of their calls, ns."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return {}
    parameters = {
        "project": project,
        "traces": wanted,
        "low": min(near) - _TRACE_REACH_NS,
        "high": max(near) + _TRACE_REACH_NS,
    }
    found: dict[str, list[TraceSpan]] = {}
    for row in ask(client, _TRACES, parameters):
        span = TraceSpan(**row)
        found.setdefault(span.trace_id, []).append(span)
    return found


_KNOWN_JOBS = """
SELECT DISTINCT job_id FROM eval_jobs
WHERE project = {project:String} AND evaluator = {evaluator:String}
    AND time BETWEEN fromUnixTimestamp64Nano({low:Int64}, 'UTC') AND fromUnixTimestamp64Nano({high:Int64}, 'UTC')
"""


def known_jobs(client: Client, *, project: str, evaluator: str, low: int, high: int) -> set[str]:
    """Ids of the rule's jobs about calls that started between ``low`` and ``high`` (ns, both inclusive)."""
    parameters = {"project": project, "evaluator": evaluator, "low": low, "high": high}
    return {str(row["job_id"]) for row in ask(client, _KNOWN_JOBS, parameters)}


_ENDED_JOBS = """
SELECT DISTINCT job_id FROM eval_jobs
WHERE project = {project:String} AND evaluator = {evaluator:String} AND state != 'planned'
    AND time BETWEEN fromUnixTimestamp64Nano({low:Int64}, 'UTC') AND fromUnixTimestamp64Nano({high:Int64}, 'UTC')
    AND job_id IN {ids:Array(String)}
"""


def ended_jobs(
    client: Client, *, project: str, evaluator: str, low: int, high: int, job_ids: Sequence[str]
) -> set[str]:
    """Which of the jobs, about calls that started between ``low`` and ``high`` (ns), have ended in any way."""
    parameters = {"project": project, "evaluator": evaluator, "low": low, "high": high, "ids": list(job_ids)}
    return {str(row["job_id"]) for row in ask(client, _ENDED_JOBS, parameters)}


_PENDING = """
SELECT project, job_id, evaluator, evaluator_version, lower(hex(eval_jobs.trace_id)) AS trace_id,
    lower(hex(eval_jobs.span_id)) AS span_id, toUnixTimestamp64Nano(eval_jobs.time) AS time
FROM eval_jobs FINAL
WHERE state = 'planned' AND eval_jobs.time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
    AND updated_at <= fromUnixTimestamp64Nano({before:Int64}, 'UTC')
ORDER BY updated_at LIMIT {limit:UInt32}
"""


def pending_jobs(client: Client, *, oldest: int, before: int, limit: int) -> list[PendingJob]:
    """Planned jobs not touched since ``before`` of calls started after ``oldest`` (ns): their task was lost."""
    parameters = {"oldest": oldest, "before": before, "limit": limit}
    return [PendingJob(**row) for row in ask(client, _PENDING, parameters)]


_SCORES_SINCE = """
SELECT toUnixTimestamp64Nano(scores.time) AS time, toUnixTimestamp64Nano(scores.created_at) AS created_at,
    assumeNotNull(scores.value) AS value, upstream, request_model
FROM scores FINAL
WHERE project = {project:String} AND name = {name:String} AND route = {route:String} AND source = 'eval'
    AND scores.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND status = 'ok' AND scores.value IS NOT NULL
    AND scores.created_at > fromUnixTimestamp64Nano({after:Int64}, 'UTC')
    AND scores.created_at <= fromUnixTimestamp64Nano({until:Int64}, 'UTC')
ORDER BY scores.created_at, score_id LIMIT {limit:UInt32}
"""


def scores_since(
    client: Client, *, project: str, name: str, route: str, since: int, after: int, until: int, limit: int
) -> list[TimedScore]:
    """Usable scores of one name on one route, in the order in which they were made.

    Of calls that started at or after ``since``, made in ``after < created_at <= until`` (ns).
    """
    parameters = {"project": project, "name": name, "route": route, "limit": limit}
    parameters |= {"since": since, "after": after, "until": until}
    return [TimedScore(**row) for row in ask(client, _SCORES_SINCE, parameters)]


_SPEND = """
SELECT sum(toDecimal128(ifNull(cost_total, 0), 9)) AS usd FROM spans
WHERE ({everywhere:Bool} OR project = {project:String})
    AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND billable
    AND (NOT {by_organisation:Bool} OR organisation = {organisation:String})
    AND (NOT {by_team:Bool} OR team = {team:String})
    AND (NOT {by_key_id:Bool} OR key_id = {key_id:String})
    AND (NOT {by_user_id:Bool} OR user_id = {user_id:String})
    AND (NOT {by_route:Bool} OR route = {route:String})
    AND (NOT {by_feature:Bool} OR feature = {feature:String})
    AND (NOT {by_model:Bool} OR request_model = {model:String})
    AND (NOT {by_upstream:Bool} OR upstream = {upstream:String})
"""


def spend(
    client: Client, *, project: str, scope: Mapping[str, str], since: int, everywhere: bool = False
) -> Decimal:
    """USD of billable calls started at or after ``since`` (ns) within the scope; unpriced calls add nothing.

    ``everywhere``: of all projects together.

    Raises ValueError for a field that budgets do not know.
    """
    unknown = sorted(set(scope) - set(BUDGET_FIELDS))
    if unknown:
        raise ValueError(f"a budget's scope cannot hold {', '.join(unknown)}")
    parameters: dict[str, Any] = {"project": project, "since": since, "everywhere": everywhere}
    for name in BUDGET_FIELDS:
        parameters |= {f"by_{name}": name in scope, name: scope.get(name, "")}
    return Decimal(ask_one(client, _SPEND, parameters)["usd"])


_KNOWN_EVENTS = "SELECT DISTINCT event_id FROM events WHERE project = {project:String} AND event_id IN {ids:Array(String)}"


def known_events(client: Client, *, project: str, event_ids: Sequence[str]) -> set[str]:
    """Which of the events are written already."""
    if not event_ids:
        return set()
    parameters = {"project": project, "ids": list(event_ids)}
    return {str(row["event_id"]) for row in ask(client, _KNOWN_EVENTS, parameters)}


_LAST_STATES = """
SELECT subject, dedup_key, argMax(state, events.time) AS state, argMax(event_id, events.time) AS event_id,
    toUnixTimestamp64Nano(max(events.time)) AS time, argMax(message, events.time) AS message,
    argMax(evidence, events.time) AS evidence
FROM events WHERE project = {project:String} AND kind = {kind:String} GROUP BY subject, dedup_key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastState:
    """The newest event of a kind about one subject and key: what Redis is rebuilt from; ``time`` in ns."""

    subject: str
    dedup_key: str
    state: str
    event_id: str
    time: int
    message: str
    evidence: str


def last_states(client: Client, *, project: str, kind: str) -> list[LastState]:
    """The newest event of this kind for each subject and dedup key."""
    rows = ask(client, _LAST_STATES, {"project": project, "kind": kind})
    return [LastState(**row) for row in rows]


_SWITCHES = """
SELECT countDistinct(event_id) AS n FROM events
WHERE project = {project:String} AND kind = 'route_switch' AND subject = {route:String} AND state IN ('fallback', 'previous_prompt')
    AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
"""


def switches_since(client: Client, *, project: str, route: str, since: int) -> int:
    """How often the route left its primary, or its prompt, since then (ns)."""
    return int(ask_one(client, _SWITCHES, {"project": project, "route": route, "since": since})["n"])


_JUDGING = """
SELECT sum(toDecimal128(ifNull(cost, 0), 9)) AS usd, countIf(cost IS NULL AND judge_id != '') AS unpriced,
    uniqExact(trace_id, span_id) AS jobs
FROM scores FINAL
WHERE ({project:String} = '' OR project = {project:String}) AND ({evaluator:String} = '' OR evaluator = {evaluator:String})
    AND source IN ('eval', 'judge', 'match') AND status != 'over_budget' AND scores.created_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND scores.time >= fromUnixTimestamp64Nano({since:Int64} - 31 * 86400000000000, 'UTC')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSpend:
    """What judging cost: USD, how many judged scores have no known cost, and calls scored."""

    usd: Decimal
    unpriced: int
    jobs: int


def judging_spend(client: Client, *, project: str = "", evaluator: str = "", since: int) -> JudgingSpend:
    """The cost of scores made at or after ``since`` (ns): of a rule, of a project, or of all."""
    row = ask_one(client, _JUDGING, {"project": project, "evaluator": evaluator, "since": since})
    return JudgingSpend(usd=Decimal(row["usd"]), unpriced=int(row["unpriced"]), jobs=int(row["jobs"]))
