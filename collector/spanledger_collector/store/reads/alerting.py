"""What alert rules and the outbox ask of the store: a metric over a window, and alerts not sent yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .asking import Client, ask, ask_one

SCOPE_FIELDS = ("team", "key_id", "user_id", "route", "feature", "request_model", "upstream", "environment")

# Attempts at providers and direct calls, of applications; a repeat of the same call is not billable.
_TRAFFIC = """
SELECT count() AS calls, countIf(status = 'error') AS errors,
    toFloat64(sum(toDecimal128(ifNull(cost_total, 0), 9))) AS cost_usd, countIf(cost_total IS NULL) AS unpriced,
    quantile(0.95)(duration_ns) / 1e9 AS latency_p95_s, quantile(0.95)(assumeNotNull(ttft_ns)) / 1e9 AS ttft_p95_s,
    countIf(ttft_ns IS NOT NULL) AS streamed, countIf(cache IN ('exact', 'semantic')) AS cache_hits
FROM spans
WHERE project = {project:String} AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND (billable OR attempt > 0) AND purpose = ''
    AND (NOT {by_team:Bool} OR team = {team:String})
    AND (NOT {by_key_id:Bool} OR key_id = {key_id:String})
    AND (NOT {by_user_id:Bool} OR user_id = {user_id:String})
    AND (NOT {by_route:Bool} OR route = {route:String})
    AND (NOT {by_feature:Bool} OR feature = {feature:String})
    AND (NOT {by_request_model:Bool} OR request_model = {request_model:String})
    AND (NOT {by_upstream:Bool} OR upstream = {upstream:String})
    AND (NOT {by_environment:Bool} OR environment = {environment:String})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Sums over a window; percentiles are NaN without calls, costs in USD."""

    calls: int
    errors: int
    cost_usd: float
    unpriced: int
    latency_p95_s: float
    ttft_p95_s: float
    streamed: int
    cache_hits: int


def traffic(client: Client, *, project: str, scope: Mapping[str, str], since: int) -> Traffic:
    """Traffic of applications since then (ns) within the scope.

    Raises ValueError for a field that is no dimension of calls.
    """
    unknown = sorted(set(scope) - set(SCOPE_FIELDS))
    if unknown:
        raise ValueError(f"an alert's scope cannot hold {', '.join(unknown)}")
    parameters: dict[str, Any] = {"project": project, "since": since}
    for name in SCOPE_FIELDS:
        parameters |= {f"by_{name}": name in scope, name: scope.get(name, "")}
    return Traffic(**ask_one(client, _TRAFFIC, parameters))


_SCORE = """
SELECT count() AS n, ifNull(avg(value), 0) AS mean FROM scores FINAL
WHERE project = {project:String} AND name = {name:String} AND status = 'ok' AND value IS NOT NULL
    AND scores.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND (NOT {by_route:Bool} OR route = {route:String})
    AND (NOT {by_upstream:Bool} OR upstream = {upstream:String})
    AND (NOT {by_request_model:Bool} OR request_model = {request_model:String})
"""


def score_mean(
    client: Client, *, project: str, name: str, scope: Mapping[str, str], since: int
) -> tuple[int, float]:
    """How many usable scores of calls since then (ns), and their mean. Raises ValueError as ``traffic`` does."""
    fields = ("route", "upstream", "request_model")
    unknown = sorted(set(scope) - set(fields))
    if unknown:
        raise ValueError(f"the scope of a score cannot hold {', '.join(unknown)}")
    parameters: dict[str, Any] = {"project": project, "name": name, "since": since}
    for field in fields:
        parameters |= {f"by_{field}": field in scope, field: scope.get(field, "")}
    row = ask_one(client, _SCORE, parameters)
    return int(row["n"]), float(row["mean"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One alert as it stands in ``events``; ``time`` in ns."""

    project: str
    event_id: str
    time: int
    severity: str
    subject: str
    title: str
    message: str
    evidence: str
    dedup_key: str
    state: str


_ALERTS = """
SELECT project, event_id, toUnixTimestamp64Nano(events.time) AS time, severity, subject, title, message, evidence,
    dedup_key, state
FROM events WHERE kind = 'alert' AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
ORDER BY events.time LIMIT 1 BY project, event_id LIMIT 1000
"""


def alerts_since(client: Client, *, since: int) -> list[PendingAlert]:
    """Alerts of every project since then (ns), oldest first, each once."""
    return [PendingAlert(**row) for row in ask(client, _ALERTS, {"since": since})]


_DELIVERIES = """
SELECT DISTINCT subject, dedup_key FROM events
WHERE kind = 'delivery' AND events.time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
"""


def deliveries_since(client: Client, *, since: int) -> set[tuple[str, str]]:
    """Pairs of channel and alert id that were sent, or given up, since then (ns)."""
    rows = ask(client, _DELIVERIES, {"since": since})
    return {(str(row["subject"]), str(row["dedup_key"])) for row in rows}
