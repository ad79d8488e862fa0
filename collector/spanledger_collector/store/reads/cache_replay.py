"""Calls made before a semantic cache was there: to be replayed, and what the replay found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .asking import Client, ask, ask_one, statement
from .cache_checks import CHECK, SAME_TEXT, Met


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """An answered call of a route. Ids in hex, times in ns; ``api`` and ``fields`` as its recorder told them."""

    trace_id: str
    span_id: str
    start_time: int
    duration_ns: int
    api: str
    fields: str
    input: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None
    prompt: str
    team: str
    user_id: str


# An answer that a cache would have kept: whole, of one of the route's own targets, and not itself from a cache.
_KEPT = """
FROM spans
WHERE project = {project:String} AND route = {route:String} AND request_model IN {models:Array(String)}
    AND spans.start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND spans.start_time < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND operation = 'chat' AND status = 'ok' AND purpose = '' AND billable AND fallback_from = ''
    AND cache NOT IN ('exact', 'semantic') AND finish_reason IN {ends:Array(String)}
    AND redactions = 0 AND NOT mapContains(attributes, 'spanledger.truncated')
"""
_NEWEST = "ORDER BY spans.start_time DESC LIMIT 1 OFFSET {most:UInt32}"
_PAST = """
SELECT lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    toUnixTimestamp64Nano(spans.start_time) AS start_time, duration_ns,
    attributes['spanledger.request.api'] AS api, attributes['spanledger.request.fields'] AS fields,
    input, temperature, top_p, max_tokens, seed,
    if(prompt_name = '', '', concat(prompt_name, '@', ifNull(toString(prompt_version), prompt_label))) AS prompt,
    team, user_id
"""
_PAGE = "ORDER BY spans.start_time, spans.trace_id, spans.span_id LIMIT 1 BY spans.trace_id, spans.span_id LIMIT {limit:UInt32}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Which calls: of a route and its targets' models, with one of the ``ends`` (finish reasons)."""

    project: str
    route: str
    models: Sequence[str]
    ends: Sequence[str]

    def asked(self, since: int, until: int) -> dict[str, object]:
        """The parameters of a read between two times (ns)."""
        return {
            "project": self.project, "route": self.route, "models": list(self.models), "ends": list(self.ends),
            "since": since, "until": until,
        }  # fmt: skip


def since_of(client: Client, past: Past, since: int, until: int, most: int) -> int:
    """From when on (ns) there are at most ``most`` calls until ``until``; not before ``since``."""
    sql = statement("SELECT toUnixTimestamp64Nano(spans.start_time) AS start_time", _KEPT, _NEWEST)
    rows = ask(client, sql, {**past.asked(since, until), "most": most})
    return int(rows[0]["start_time"]) + 1 if rows else since


def past_calls(client: Client, past: Past, since: int, until: int, limit: int) -> list[PastCall]:
    """Calls that started in ``since <= t < until`` (ns), oldest first."""
    rows = ask(client, statement(_PAST, _KEPT, _PAGE), {**past.asked(since, until), "limit": limit})
    return [PastCall(**row) for row in rows]


_FIRST_MET = """
SELECT count() AS calls, toUnixTimestamp64Nano(min(spans.start_time)) AS start_time FROM spans
WHERE project = {project:String} AND route = {route:String} AND attributes['spanledger.cache.group'] = {tier:String}
    AND spans.start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
"""


def first_met(client: Client, *, project: str, route: str, tier: str, since: int) -> int | None:
    """When a live call first met an entry of the tier, ns; None where none has since then."""
    row = ask_one(client, _FIRST_MET, {"project": project, "route": route, "tier": tier, "since": since})
    return int(row["start_time"]) if row["calls"] else None


_UNCHECKED = """
SELECT project, lower(hex(met.trace_id)) AS trace_id, lower(hex(met.span_id)) AS span_id,
    toUnixTimestamp64Nano(met.start_time) AS start_time, toInt64(0) AS inserted_at, route, 'replay' AS cache,
    tier AS group, partition, similarity, lower(hex(met.origin_trace)) AS origin_trace,
    lower(hex(met.origin_span)) AS origin_span
FROM cache_meetings AS met FINAL
WHERE project = {project:String} AND tier = {tier:String}
    AND met.start_time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
    AND (met.trace_id, CAST(met.span_id, 'String')) NOT IN (
        SELECT trace_id, span_id FROM scores FINAL
        WHERE project = {project:String} AND name = {name:String} AND source IN ('judge', 'match')
            AND if(source = 'match', label = {same:String} OR {judge:String} = '', judge_id IN ('', {judge:String}))
            AND scores.time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
    )
ORDER BY met.start_time, trace_id, span_id LIMIT {limit:UInt32}
"""


def unchecked(client: Client, *, project: str, tier: str, judge: str, oldest: int, limit: int) -> list[Met]:
    """Replayed meetings since ``oldest`` (ns) that no worker has checked by this judge, oldest first.

    Texts that differed while no judge was named are checked again once there is one.
    """
    parameters = {
        "project": project, "tier": tier, "judge": judge, "name": CHECK, "oldest": oldest, "limit": limit,
        "same": SAME_TEXT,
    }  # fmt: skip
    return [Met(**row) for row in ask(client, _UNCHECKED, parameters)]


_COUNTED = """
SELECT met.route AS route, count() AS met, countIf(checked.value IS NOT NULL) AS checked,
    countIf(checked.value < 0.5) AS wrong
FROM (SELECT * FROM cache_meetings FINAL WHERE project = {project:String} AND route IN {routes:Array(String)}) AS met
LEFT JOIN (
    SELECT trace_id, span_id, argMax(value, (source = 'human', created_at)) AS value FROM scores FINAL
    WHERE project = {project:String} AND name = {name:String} GROUP BY trace_id, span_id
) AS checked ON met.trace_id = checked.trace_id AND CAST(met.span_id, 'String') = checked.span_id
GROUP BY route ORDER BY route
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What replaying a route's past calls found: meetings, those with a verdict, and those found wrong."""

    route: str
    met: int
    checked: int
    wrong: int


def replayed(client: Client, project: str, routes: Iterable[str]) -> list[Replayed]:
    """Of these routes, by name."""
    wanted = sorted(set(routes))
    if not wanted:
        return []
    return [
        Replayed(**row)
        for row in ask(client, _COUNTED, {"project": project, "routes": wanted, "name": CHECK})
    ]
