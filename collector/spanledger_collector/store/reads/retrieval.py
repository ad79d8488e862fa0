"""What answers stood on: retrieved sources with their use, age and the quality of the answers they served.

Sources are read from the ``documents`` of the newest spans of the window, at most ``SAMPLE`` of them, because the
text is the bulk of a span.
"""

from __future__ import annotations

from dataclasses import dataclass

from .asking import Client, Row, ask, ask_one
from .overview import number
from .window import IN_SPANS, Window

SAMPLE = 20_000

_FOUND = f"""
SELECT span_id, trace_id, start_time, route, documents FROM spans
WHERE project = {{project:String}} AND documents != '' AND billable AND {IN_SPANS}
ORDER BY start_time DESC LIMIT {SAMPLE}
"""  # noqa: S608

_PARTS = f"""
SELECT trace_id, span_id, start_time, arrayJoin(JSONExtractArrayRaw(documents)) AS document,
    coalesce(nullIf(JSONExtractString(document, 'source'), ''), nullIf(JSONExtractString(document, 'id'), ''), '') AS source,
    JSONExtractString(document, 'version') AS version,
    if(JSONHas(document, 'score'), JSONExtractFloat(document, 'score'), NULL) AS score,
    parseDateTimeBestEffortOrNull(JSONExtractString(document, 'updated_at'), 'UTC') AS updated,
    if(updated IS NULL, NULL, dateDiff('second', assumeNotNull(updated), toDateTime(start_time, 'UTC'))) AS age_s
FROM ({_FOUND})
"""  # noqa: S608

_TOTALS = f"""
SELECT uniqExact(trace_id, span_id) AS calls, count() AS parts, uniqExact(source) AS sources, avg(score) AS mean_score,
    countIf(age_s IS NULL) AS undated, quantileIf(0.5)(ifNull(age_s, 0), age_s IS NOT NULL) AS age_p50,
    quantileIf(0.95)(ifNull(age_s, 0), age_s IS NOT NULL) AS age_p95,
    countIf(age_s > {{stale:UInt64}}) AS stale,
    uniqExactIf((trace_id, span_id), age_s > {{stale:UInt64}}) AS stale_calls
FROM ({_PARTS})
"""  # noqa: S608

_SOURCES = f"""
SELECT source, count() AS uses, uniqExact(version) AS versions, max(version) AS newest, avg(score) AS mean_score,
    max(updated) AS updated, max(age_s) AS oldest_s, avgIf(verdicts.verdict, verdicts.n > 0) AS quality,
    countIf(verdicts.n > 0) AS judged
FROM ({_PARTS}) AS parts
LEFT JOIN (
    SELECT trace_id, span_id, avg(assumeNotNull(value)) AS verdict, count() AS n FROM scores FINAL
    WHERE project = {{project:String}} AND name = {{score:String}} AND status = 'ok' AND value IS NOT NULL
    GROUP BY trace_id, span_id
) AS verdicts ON parts.trace_id = verdicts.trace_id AND toString(parts.span_id) = verdicts.span_id
GROUP BY source ORDER BY uses DESC, source LIMIT 200
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Sums over retrieved sources. Ages in seconds at the time of the call; None where no source was dated."""

    calls: int
    parts: int
    sources: int
    mean_score: float | None
    undated: int
    age_p50_s: float | None
    age_p95_s: float | None
    stale: int
    stale_calls: int


def retrieved(client: Client, project: str, window: Window, stale_s: int) -> Retrieved:
    """Sums over the window; a source older than ``stale_s`` when it was used is stale."""
    row = ask_one(client, _TOTALS, {"project": project, "stale": stale_s, **window.bound()})
    return Retrieved(
        calls=int(row["calls"]),
        parts=int(row["parts"]),
        sources=int(row["sources"]),
        mean_score=number(row["mean_score"]),
        undated=int(row["undated"]),
        age_p50_s=number(row["age_p50"]),
        age_p95_s=number(row["age_p95"]),
        stale=int(row["stale"]),
        stale_calls=int(row["stale_calls"]),
    )


def sources(client: Client, project: str, window: Window, score: str) -> list[Row]:
    """Each source: uses, versions seen, last update, greatest age, and the mean of ``score`` where it was used."""
    return ask(client, _SOURCES, {"project": project, "score": score, **window.bound()})
