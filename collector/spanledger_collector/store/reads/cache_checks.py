"""Checks of the semantic cache: what waits to be checked, and what was found so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .asking import Client, Row, ask, ask_one, statement
from .window import IN_SPANS, IN_TIME, Window

CHECK = "cache_hit_correct"
"""Name of the scores: 1 where the cached answer was right, 0 where it was wrong."""
SAME_TEXT = "same_text"
"""Label of a verdict that no judge was needed for."""

_GROUP = "attributes['spanledger.cache.group']"
_SIMILARITY = "ifNull(cache_similarity, toFloat32OrZero(attributes['spanledger.cache.candidate_similarity'])) AS similarity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A call that met an entry: a hit (``cache`` semantic) or a would-be hit, live or by ``replay``. Ids in hex, times in ns."""

    project: str
    trace_id: str
    span_id: str
    start_time: int
    inserted_at: int
    route: str
    cache: str
    group: str
    partition: str
    similarity: float
    origin_trace: str
    origin_span: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """A fresh answer to a hit's question; ``hit_*`` is the hit."""

    project: str
    trace_id: str
    span_id: str
    start_time: int
    inserted_at: int
    status: str
    hit_trace: str
    hit_span: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One verdict about a hit or would-be hit; ``value`` None where none could be had, ``cache`` as in `Met`."""

    trace_id: str
    span_id: str
    value: float | None
    status: str
    source: str
    judge_id: str
    sample_rate: float | None
    created_at: int
    similarity: float
    partition: str
    cache: str


_IDS = """project, lower(hex(spans.trace_id)) AS trace_id, lower(hex(spans.span_id)) AS span_id,
    toUnixTimestamp64Nano(spans.start_time) AS start_time,
    toUnixTimestamp64Milli(spans.inserted_at) * 1000000 AS inserted_at"""
_MET = f"""
SELECT {_IDS}, route, cache, {_GROUP} AS group, attributes['spanledger.cache.partition'] AS partition, {_SIMILARITY},
    attributes['spanledger.cache.candidate_trace'] AS origin_trace,
    attributes['spanledger.cache.candidate_span'] AS origin_span
FROM spans
"""  # noqa: S608 -- constants of this module
_INSERTED = """
WHERE spans.inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND spans.inserted_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
"""
_ORDERED = "ORDER BY spans.inserted_at, spans.trace_id, spans.span_id LIMIT {limit:UInt32}"


def would_be_hits(client: Client, *, since: int, until: int, limit: int) -> list[Met]:
    """Calls inserted in ``since <= t < until`` (ns) that an entry would have answered, in that order."""
    wanted = "AND mapContains(attributes, 'spanledger.cache.candidate') AND status = 'ok' AND purpose = ''"
    sql = statement(_MET, _INSERTED, wanted, _ORDERED)
    return [Met(**row) for row in ask(client, sql, _since(since, until, limit))]


def _since(since: int, until: int, limit: int) -> dict[str, int]:
    return {"since": since // 1_000_000, "until": until // 1_000_000, "limit": limit}


def audits(client: Client, *, since: int, until: int, limit: int) -> list[Audit]:
    """Fresh answers to hits, inserted in ``since <= t < until`` (ns), in that order."""
    sql = statement(
        f"SELECT {_IDS}, status, attributes['spanledger.cache.audit_of_trace'] AS hit_trace,",
        "attributes['spanledger.cache.audit_of_span'] AS hit_span FROM spans",
        _INSERTED,
        "AND purpose = 'cache_check' AND mapContains(attributes, 'spanledger.cache.audit_of_trace')",
        _ORDERED,
    )
    return [Audit(**row) for row in ask(client, sql, _since(since, until, limit))]


def hits(
    client: Client, *, project: str, trace_ids: Iterable[str], oldest: int
) -> dict[tuple[str, str], Met]:
    """Semantic hits of these traces that started after ``oldest`` (ns), by trace and span id."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return {}
    sql = statement(
        _MET,
        "WHERE project = {project:String} AND cache = 'semantic'",
        "AND spans.start_time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')",
        "AND spans.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))",
    )
    rows = ask(client, sql, {"project": project, "oldest": oldest, "traces": wanted})
    return {(row["trace_id"], row["span_id"]): Met(**row) for row in rows}


_VERDICTS = f"""
WITH wanted AS (
    SELECT * FROM scores FINAL
    WHERE project = {{project:String}} AND name = {{name:String}}
        AND scores.created_at > fromUnixTimestamp64Nano({{after:Int64}}, 'UTC')
        AND scores.created_at <= fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')
        AND scores.time >= fromUnixTimestamp64Nano({{oldest:Int64}}, 'UTC')
)
SELECT lower(hex(wanted.trace_id)) AS trace_id, lower(hex(wanted.span_id)) AS span_id, value, wanted.status AS status,
    source, judge_id, sample_rate, toUnixTimestamp64Nano(wanted.created_at) AS created_at, similarity, partition, cache
FROM wanted INNER JOIN (
    SELECT spans.trace_id AS trace_id, CAST(spans.span_id, 'String') AS span_id, cache,
        attributes['spanledger.cache.partition'] AS partition, {_SIMILARITY}
    FROM spans
    WHERE project = {{project:String}} AND spans.start_time >= fromUnixTimestamp64Nano({{oldest:Int64}}, 'UTC')
        AND spans.trace_id IN (SELECT wanted.trace_id FROM wanted)
        AND {_GROUP} = {{group:String}}
    UNION ALL
    SELECT trace_id, CAST(span_id, 'String') AS span_id, 'replay' AS cache, partition, similarity
    FROM cache_meetings FINAL
    WHERE project = {{project:String}} AND tier = {{group:String}}
        AND cache_meetings.start_time >= fromUnixTimestamp64Nano({{oldest:Int64}}, 'UTC')
) AS met ON wanted.trace_id = met.trace_id AND wanted.span_id = met.span_id
ORDER BY wanted.created_at, trace_id, span_id, source
"""  # noqa: S608 -- constants of this module


def verdicts(
    client: Client, *, project: str, group: str, after: int, until: int, oldest: int
) -> list[Verdict]:
    """Verdicts of a group made in ``after < t <= until`` about calls since ``oldest`` (ns), in the order made."""
    parameters = {
        "project": project,
        "name": CHECK,
        "group": group,
        "after": after,
        "until": until,
        "oldest": oldest,
    }
    return [Verdict(**row) for row in ask(client, _VERDICTS, parameters)]


_KNOWN = """
SELECT lower(hex(scores.trace_id)) AS trace_id, lower(hex(scores.span_id)) AS span_id FROM scores FINAL
WHERE project = {project:String} AND name = {name:String} AND source IN ('judge', 'match')
    AND scores.time >= fromUnixTimestamp64Nano({oldest:Int64}, 'UTC')
    AND scores.trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
"""


def checked(client: Client, *, project: str, trace_ids: Iterable[str], oldest: int) -> set[tuple[str, str]]:
    """Which of these traces' calls (trace, span) were checked by worker already; calls since ``oldest`` (ns)."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return set()
    parameters = {"project": project, "name": CHECK, "oldest": oldest, "traces": wanted}
    return {(row["trace_id"], row["span_id"]) for row in ask(client, _KNOWN, parameters)}


@dataclass(frozen=True, slots=True)
class CheckSpend:
    """What checking took in a window: fresh answers, verdicts, and their known cost in USD."""

    asked: int
    asked_cost: Decimal
    verdicts: int
    judged_cost: Decimal
    embedded: int
    embedding_cost: Decimal
    unpriced: int

    @property
    def cost(self) -> Decimal:
        """All of it."""
        return self.asked_cost + self.judged_cost + self.embedding_cost


_SPENT = """
SELECT countIf(purpose = 'cache_check') AS asked,
    sumIf(toDecimal128(ifNull(cost_total, 0), 9), purpose = 'cache_check') AS asked_cost,
    countIf(purpose = 'cache_embed') AS embedded,
    sumIf(toDecimal128(ifNull(cost_total, 0), 9), purpose = 'cache_embed') AS embedding_cost,
    countIf(cost_total IS NULL) AS unpriced
FROM spans WHERE project = {project:String} AND billable AND purpose IN ('cache_check', 'cache_embed') AND
"""
_JUDGED = """
SELECT count() AS verdicts, sum(toDecimal128(ifNull(cost, 0), 9)) AS judged_cost,
    countIf(source = 'judge' AND cost IS NULL) AS unpriced
FROM scores FINAL
WHERE project = {project:String} AND name = {name:String} AND
"""


def check_spend(client: Client, project: str, window: Window) -> CheckSpend:
    """What the semantic cache's own work cost in the window."""
    bound = window.bound()
    spans = ask_one(client, statement(_SPENT, IN_SPANS), {"project": project, **bound})
    scores = ask_one(client, statement(_JUDGED, IN_TIME), {"project": project, "name": CHECK, **bound})
    return CheckSpend(
        asked=int(spans["asked"]),
        asked_cost=Decimal(spans["asked_cost"]),
        verdicts=int(scores["verdicts"]),
        judged_cost=Decimal(scores["judged_cost"]),
        embedded=int(spans["embedded"]),
        embedding_cost=Decimal(spans["embedding_cost"]),
        unpriced=int(spans["unpriced"]) + int(scores["unpriced"]),
    )


_MEETINGS = f"""
SELECT lower(hex(spans.trace_id)) AS trace, lower(hex(spans.span_id)) AS span,
    toUnixTimestamp64Nano(spans.start_time) AS start_ns, toString(spans.route) AS route, toString(cache) AS cache,
    if(cache_entry != '', cache_entry, attributes['spanledger.cache.candidate']) AS entry, {_SIMILARITY}, cache_age_ns,
    attributes['spanledger.cache.candidate_trace'] AS origin_trace,
    attributes['spanledger.cache.candidate_span'] AS origin_span
FROM spans
WHERE project = {{project:String}} AND {_GROUP} != '' AND purpose = ''
    AND (cache = 'semantic' OR mapContains(attributes, 'spanledger.cache.candidate')) AND
"""  # noqa: S608 -- constants of this module


_REPLAYED = """
SELECT lower(hex(met.trace_id)) AS trace, lower(hex(met.span_id)) AS span,
    toUnixTimestamp64Nano(met.start_time) AS start_ns, toString(route) AS route, 'replay' AS cache,
    '' AS entry, similarity, NULL AS cache_age_ns,
    lower(hex(met.origin_trace)) AS origin_trace, lower(hex(met.origin_span)) AS origin_span
FROM cache_meetings AS met FINAL
WHERE project = {project:String} AND
"""
_NEWEST = "ORDER BY start_time DESC LIMIT {limit:UInt32}"


def meetings(client: Client, project: str, window: Window, limit: int = 30) -> list[Row]:
    """The latest semantic hits and would-be hits, live or by replay (of those ``entry`` is empty), newest first."""
    live = statement(
        _MEETINGS,
        IN_SPANS.replace("start_time", "spans.start_time"),
        _NEWEST.replace("start_time", "spans.start_time"),
    )
    past = statement(
        _REPLAYED,
        IN_SPANS.replace("start_time", "met.start_time"),
        _NEWEST.replace("start_time", "met.start_time"),
    )
    bound = {"project": project, "limit": limit, **window.bound()}
    found = [*ask(client, live, bound), *ask(client, past, bound)]
    return sorted(found, key=lambda row: -int(row["start_ns"]))[:limit]


_ABOUT = """
SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, value, status, source, explanation, author
FROM scores FINAL
WHERE project = {project:String} AND name = {name:String}
    AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
ORDER BY source = 'human', created_at
"""


def verdicts_about(client: Client, project: str, trace_ids: Iterable[str]) -> dict[tuple[str, str], Row]:
    """The verdict that counts for each call of these traces: a person's before a worker's."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return {}
    rows = ask(client, _ABOUT, {"project": project, "name": CHECK, "traces": wanted})
    return {(row["trace"], row["span"]): row for row in rows}
