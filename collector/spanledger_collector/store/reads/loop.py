"""What the closed loop asks of the store: a route's attempts by second, its first calls, and what probes cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import Client, ask, ask_one, statement

# What says something about a target: answers and failures of its own, not a caller's bad request or a hang-up.
_ATTEMPTS = (
    "project = {project:String} AND route = {route:String} AND (billable OR attempt > 0) AND upstream != ''"
    " AND cache NOT IN ('exact', 'semantic') AND operation != '' AND purpose = ''"
    " AND status IN ('ok', 'error', 'cut') AND error_type != 'refused'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLimits:
    """What calls are compared with: seconds, and the USD above which a call counts as just that dear."""

    latency_s: tuple[float, ...] = ()
    ttft_s: tuple[float, ...] = ()
    cost_cap_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSecond:
    """A sixteenth (by the hash of the trace) of the attempts at one target that were stored in one second.

    ``time`` is the latest start among them, ns; ``slow`` and ``slow_starts`` count by each limit, in their order.
    """

    time: int
    upstream: str
    request_model: str
    calls: int
    errors: int
    answered: int
    slow: tuple[int, ...]
    streamed: int
    slow_starts: tuple[int, ...]
    priced: int
    cost_usd: float


_SECONDS = """
SELECT toStartOfSecond(spans.inserted_at) AS second, cityHash64(spans.trace_id) % 16 AS part, upstream, request_model,
    toUnixTimestamp64Nano(max(start_time)) AS time, count() AS calls, countIf(status != 'ok') AS errors,
    countIf(status = 'ok') AS answered,
    sumForEachIf(arrayMap(l -> toUInt64(duration_ns > l), {latency:Array(UInt64)}), status = 'ok') AS slow,
    countIf(status = 'ok' AND ttft_ns IS NOT NULL) AS streamed,
    sumForEachIf(arrayMap(l -> toUInt64(ifNull(ttft_ns, 0) > l), {ttft:Array(UInt64)}), status = 'ok') AS slow_starts,
    countIf(cost_total IS NOT NULL AND status = 'ok') AS priced,
    sumIf(least(toFloat64(ifNull(cost_total, 0)), {cap:Float64}), status = 'ok') AS cost_usd
FROM spans WHERE
"""
_STORED_IN = (
    " AND spans.inserted_at >= fromUnixTimestamp64Milli({after:Int64}, 'UTC')"
    " AND spans.inserted_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
    " AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')"
)


def traffic_seconds(
    client: Client, *, project: str, route: str, since: int, after: int, until: int, limits: TrafficLimits
) -> list[TrafficSecond]:
    """Attempts of a route that started at or after ``since`` and were stored in ``after <= t < until`` (ns).

    Give whole seconds for ``after`` and ``until``, or a second is cut in two.
    """
    sql = statement(
        _SECONDS,
        _ATTEMPTS,
        _STORED_IN,
        "GROUP BY second, part, upstream, request_model ORDER BY second, part, upstream",
    )
    bound: dict[str, Any] = {
        "project": project,
        "route": route,
        "since": since,
        "after": after // 1_000_000,
        "until": until // 1_000_000,
        "latency": [round(limit * 1e9) for limit in limits.latency_s],
        "ttft": [round(limit * 1e9) for limit in limits.ttft_s],
        "cap": limits.cost_cap_usd,
    }
    return [_second(row) for row in ask(client, sql, bound)]


def _second(row: dict[str, Any]) -> TrafficSecond:
    values: dict[str, Any] = {name: value for name, value in row.items() if name not in ("second", "part")}
    values |= {name: tuple(row[name] or ()) for name in ("slow", "slow_starts")}
    return TrafficSecond(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, as far as a baseline needs it; seconds, USD, None for unknown."""

    upstream: str
    request_model: str
    ok: bool
    duration_s: float
    ttft_s: float | None
    cost_usd: float | None


_FIRST = """
SELECT upstream, request_model, toBool(status = 'ok') AS ok, duration_ns / 1e9 AS duration_s, ttft_ns / 1e9 AS ttft_s,
    toFloat64OrNull(toString(cost_total)) AS cost_usd
FROM spans WHERE
"""
_SINCE = (
    " AND start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')"
    " AND (upstream, request_model) IN arrayZip({upstreams:Array(String)}, {models:Array(String)})"
)


def first_attempts(
    client: Client, *, project: str, route: str, targets: Sequence[tuple[str, str]], since: int, limit: int
) -> list[Attempt]:
    """The first attempts at these targets (upstream, model) that started at or after ``since`` (ns)."""
    bound: dict[str, Any] = {"project": project, "route": route, "since": since, "limit": limit}
    bound |= {"upstreams": [upstream for upstream, _ in targets], "models": [model for _, model in targets]}
    sql = statement(_FIRST, _ATTEMPTS, _SINCE, "ORDER BY start_time LIMIT {limit:UInt32}")
    return [Attempt(**row) for row in ask(client, sql, bound)]


def spent_on(
    client: Client, *, project: str, route: str, targets: Sequence[tuple[str, str]], since: int
) -> Decimal:
    """USD that attempts of the route at these targets cost since then (ns)."""
    bound: dict[str, Any] = {"project": project, "route": route, "since": since}
    bound |= {"upstreams": [upstream for upstream, _ in targets], "models": [model for _, model in targets]}
    sum_of = "SELECT sum(toDecimal128(ifNull(cost_total, 0), 9)) AS usd FROM spans WHERE"
    return Decimal(ask_one(client, statement(sum_of, _ATTEMPTS, _SINCE), bound)["usd"])
