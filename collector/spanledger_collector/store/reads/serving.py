"""How calls were served: by route and upstream, and by the cache."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import Client, Row, ask, every, statement
from .overview import number
from .window import DAY, HOUR, IN_DAYS, IN_HOURS, IN_SPANS, SECOND, Window, bucket

_SERVED = """
SELECT route, upstream, countIf(operation != '') AS attempts, countIf(status = 'error') AS errors,
    countIf(status = 'cut') AS cut, countIf(fallback_from != '') AS fallbacks,
    quantilesTDigestIf(0.5, 0.95)(duration_ns, status = 'ok') AS latency,
    quantileTDigestIf(0.5)(ifNull(ttft_ns, 0), ttft_ns IS NOT NULL) AS ttft,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost, toUnixTimestamp64Nano(max(start_time)) AS last_ns
FROM spans WHERE project = {project:String} AND route != '' AND attempt > 0 AND
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Attempts of one route at one upstream: times in ns, cost in USD."""

    route: str
    upstream: str
    attempts: int
    errors: int
    cut: int
    fallbacks: int
    p50_ns: float | None
    p95_ns: float | None
    ttft_p50_ns: float | None
    cost: Decimal
    last_ns: int


def served(client: Client, project: str, window: Window) -> list[Served]:
    """Every route and upstream that was tried in the window; busiest first."""
    sql = statement(
        _SERVED, IN_SPANS, "GROUP BY route, upstream ORDER BY attempts DESC, route, upstream LIMIT 500"
    )
    return [_served(row) for row in ask(client, sql, {"project": project, **window.bound()})]


def _served(row: Row) -> Served:
    p50, p95 = row["latency"]
    return Served(
        route=row["route"],
        upstream=row["upstream"],
        attempts=int(row["attempts"]),
        errors=int(row["errors"]),
        cut=int(row["cut"]),
        fallbacks=int(row["fallbacks"]),
        p50_ns=number(p50),
        p95_ns=number(p95),
        ttft_p50_ns=number(row["ttft"]),
        cost=Decimal(row["cost"]),
        last_ns=int(row["last_ns"]),
    )


_UPSTREAM_SERIES = f"""
SELECT upstream, {bucket("start_time")} AS bucket, count() AS n FROM spans
WHERE project = {{project:String}} AND route = {{route:String}} AND upstream != '' AND status = 'ok' AND attempt > 0 AND
"""  # noqa: S608 -- constants of this module


def upstream_series(
    client: Client, project: str, window: Window, route: str, step_s: int
) -> dict[str, dict[int, int]]:
    """Answers of a route by upstream and bucket start (Unix seconds)."""
    sql = statement(_UPSTREAM_SERIES, IN_SPANS, "GROUP BY upstream, bucket ORDER BY upstream, bucket")
    found: dict[str, dict[int, int]] = {}
    for row in ask(client, sql, {"project": project, "route": route, "step": step_s, **window.bound()}):
        found.setdefault(row["upstream"], {})[int(row["bucket"])] = int(row["n"])
    return found


_CACHE = """
    countIf(cache = 'exact') AS exact, countIf(cache = 'semantic') AS semantic, countIf(cache = 'miss') AS missed,
    countIf(cache = 'off') AS off, sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved,
    countIf(cache IN ('exact', 'semantic') AND cost_saved IS NULL) AS unpriced,
    quantileTDigestIf(0.5)(duration_ns, cache IN ('exact', 'semantic')) AS hit_p50,
    quantileTDigestIf(0.5)(duration_ns, cache = 'miss') AS miss_p50
"""
_CACHE_SUMMED = """
    sumIf(calls, cache = 'exact') AS exact, sumIf(calls, cache = 'semantic') AS semantic,
    sumIf(calls, cache = 'miss') AS missed, sumIf(calls, cache = 'off') AS off,
    sum({table}.saved) AS saved, sum(unsaved) AS unpriced,
"""
_CACHE_BY_HOUR = (
    _CACHE_SUMMED.replace("{table}", "call_hour")
    + """
    quantilesDDMergeIf(0.005, 0.5, 0.95)(duration, cache IN ('exact', 'semantic'))[1] AS hit_p50,
    quantilesDDMergeIf(0.005, 0.5, 0.95)(duration, cache = 'miss')[1] AS miss_p50
"""
)
_CACHE_BY_DAY = _CACHE_SUMMED.replace("{table}", "call_day") + "NULL AS hit_p50, NULL AS miss_p50"


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the cache did: hits by kind, misses, and what hits would have cost (USD).

    Times are None where nothing was measured, and may be for a route's or a team's share.
    """

    group: str
    bucket: int | None
    exact: int
    semantic: int
    missed: int
    off: int
    saved: Decimal
    unpriced: int
    hit_p50_ns: float | None
    miss_p50_ns: float | None

    @property
    def hits(self) -> int:
        """Calls that the cache answered."""
        return self.exact + self.semantic


def cache_use(
    client: Client, project: str, window: Window, by: str = "", step_s: int | None = None
) -> list[CacheUse]:
    """Billable calls by ``route``, ``team``, or none of these, and by bucket when ``step_s`` is given."""
    group = {"": "''", "route": "route", "team": "team"}[by]
    parameters: dict[str, Any] = {"project": project, **window.bound()}
    table, time, within, measures = "spans", "start_time", IN_SPANS, _CACHE
    if not by and window.whole(HOUR) and (step_s or 0) % (HOUR // SECOND) == 0:
        table, time, within, measures = "call_hour", "hour", IN_HOURS, _CACHE_BY_HOUR
    elif by and step_s is None and window.whole(DAY):
        table, within, measures = "call_day", IN_DAYS, _CACHE_BY_DAY
    started = "CAST(NULL, 'Nullable(UInt32)')"
    if step_s is not None:
        started = bucket(time)
        parameters["step"] = step_s
    sql = statement(
        f"SELECT {group} AS grouped, {started} AS bucket, {measures} FROM {table} WHERE",  # noqa: S608
        every(["project = {project:String}", "billable", "cache != ''", within]),
        "GROUP BY grouped, bucket ORDER BY bucket, saved DESC, grouped LIMIT 5000",
    )
    return [_cache_use(row) for row in ask(client, sql, parameters)]


def _cache_use(row: Row) -> CacheUse:
    return CacheUse(
        group=row["grouped"],
        bucket=None if row["bucket"] is None else int(row["bucket"]),
        exact=int(row["exact"]),
        semantic=int(row["semantic"]),
        missed=int(row["missed"]),
        off=int(row["off"]),
        saved=Decimal(row["saved"]),
        unpriced=int(row["unpriced"]),
        hit_p50_ns=number(row["hit_p50"]),
        miss_p50_ns=number(row["miss_p50"]),
    )


_HITS = """
SELECT lower(hex(spans.trace_id)) AS trace, lower(hex(spans.span_id)) AS span,
    toUnixTimestamp64Nano(start_time) AS start_ns, cache, cache_entry, cache_similarity, cache_age_ns, route, team,
    cost_saved, substringUTF8(input, 1, 2000) AS input_start, substringUTF8(output, 1, 400) AS output_start
FROM spans WHERE project = {project:String} AND billable AND cache IN ('exact', 'semantic') AND
"""


def cache_hits(client: Client, project: str, window: Window, limit: int = 30) -> list[Row]:
    """The latest calls that the cache answered, with how alike and how old the entry was."""
    sql = statement(_HITS, IN_SPANS, "ORDER BY start_time DESC LIMIT {limit:UInt32}")
    return ask(client, sql, {"project": project, "limit": limit, **window.bound()})
