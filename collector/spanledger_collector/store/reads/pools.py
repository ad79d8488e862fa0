"""GPU pools in a window: what their calls used, and what their engines said of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .asking import Client, ask, statement
from .overview import number
from .window import IN_SPANS, Window, bucket

_USE = """
SELECT gpu_pool, countIf(billable) AS calls, sumIf(gpu_seconds, gpu_seconds IS NOT NULL) AS seconds,
    countIf(billable AND gpu_seconds IS NULL) AS unmetered,
    sum(toUInt64(ifNull(input_tokens, 0)) + ifNull(cache_read_tokens, 0)) AS tokens_in,
    sum(toUInt64(ifNull(output_tokens, 0)) + ifNull(reasoning_tokens, 0)) AS tokens_out,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
    quantileTDigestIf(0.95)(ifNull(queue_ns, 0), queue_ns IS NOT NULL) AS queue_p95
FROM spans WHERE project = {project:String} AND gpu_pool != '' AND
"""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Calls of one pool: engine seconds attributed to them, tokens, cost in USD."""

    gpu_pool: str
    calls: int
    gpu_seconds: float
    unmetered: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    queue_p95_ns: float | None


def pool_use(client: Client, project: str, window: Window) -> list[PoolUse]:
    """Every pool that served calls in the window."""
    rows = ask(
        client,
        statement(_USE, IN_SPANS, "GROUP BY gpu_pool ORDER BY calls DESC, gpu_pool"),
        {"project": project, **window.bound()},
    )
    return [
        PoolUse(
            gpu_pool=row["gpu_pool"],
            calls=int(row["calls"]),
            gpu_seconds=float(row["seconds"] or 0),
            unmetered=int(row["unmetered"]),
            input_tokens=int(row["tokens_in"]),
            output_tokens=int(row["tokens_out"]),
            cost=Decimal(row["cost"]),
            queue_p95_ns=number(row["queue_p95"]),
        )
        for row in rows
    ]


_SAMPLES = f"""
SELECT gpu_pool, metric, {bucket("time")} AS bucket, avg(value) AS mean, max(value) AS most FROM engine_samples
WHERE project = {{project:String}} AND time >= fromUnixTimestamp64Milli({{from_ms:Int64}}, 'UTC')
    AND time < fromUnixTimestamp64Milli({{to_ms:Int64}}, 'UTC')
GROUP BY gpu_pool, metric, bucket ORDER BY gpu_pool, metric, bucket LIMIT 50000
"""  # noqa: S608 -- constants of this module


def engine_series(
    client: Client, project: str, window: Window, step_s: int
) -> dict[tuple[str, str], dict[int, float]]:
    """Mean of each engine metric by (pool, metric) and bucket start (Unix seconds)."""
    bound = {
        "project": project,
        "step": step_s,
        "from_ms": window.start // 10**6,
        "to_ms": window.end // 10**6,
    }
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in ask(client, _SAMPLES, bound):
        found.setdefault((row["gpu_pool"], row["metric"]), {})[int(row["bucket"])] = float(row["mean"])
    return found
