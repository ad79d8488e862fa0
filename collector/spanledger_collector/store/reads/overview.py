"""How much, how fast, how well: totals and buckets of one project's calls in a window.

Calls are billable spans and requests that failed without one (``rules.CALLS``); cost, savings and unpriced are
the ledger's, so that pages add up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from . import ledger
from .asking import Client, Row, ask, ask_one
from .rules import CALLS
from .window import IN_SPANS, IN_TIME, Window

_MEASURES = """
    count() AS calls,
    countIf(status = 'error') AS errors,
    countIf(status = 'cut') AS cut,
    countIf(cache IN ('exact', 'semantic')) AS cache_hits,
    quantilesTDigest(0.5, 0.95)(duration_ns) AS latency,
    quantileTDigestIf(0.5)(ifNull(ttft_ns, 0), ttft_ns IS NOT NULL) AS ttft_p50
"""

_TOTALS = f"SELECT {_MEASURES} FROM spans WHERE project = {{project:String}} AND {CALLS} AND {IN_SPANS}"  # noqa: S608

_SERIES = f"""
SELECT toUnixTimestamp(toStartOfInterval(start_time, toIntervalSecond({{step:UInt32}}), 'UTC')) AS bucket,
{_MEASURES}
FROM spans WHERE project = {{project:String}} AND {CALLS} AND {IN_SPANS}
GROUP BY bucket ORDER BY bucket
"""  # noqa: S608

_SCORES = f"""
SELECT name, toUnixTimestamp(toStartOfInterval(time, toIntervalSecond({{step:UInt32}}), 'UTC')) AS bucket,
    countIf(status = 'ok') AS n, count() AS asked, avgIf(value, status = 'ok') AS mean,
    stddevSampIf(value, status = 'ok') AS deviation,
    countIf(status = 'ok' AND value IN (0, 1)) = n AS binary, any(higher_is_better) AS higher_is_better
FROM scores FINAL
WHERE project = {{project:String}} AND {IN_TIME}
GROUP BY name, bucket ORDER BY name, bucket
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Measures:
    """Sums and quantiles of some calls. Money in USD; times in nanoseconds, None when nothing was measured."""

    calls: int = 0
    errors: int = 0
    cut: int = 0
    unpriced: int = 0
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    cache_hits: int = 0
    p50_ns: float | None = None
    p95_ns: float | None = None
    ttft_p50_ns: float | None = None


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One score's mean in one bucket: ``n`` valid verdicts of ``asked``, with their sample deviation."""

    name: str
    bucket: int
    n: int
    asked: int
    mean: float | None
    deviation: float | None
    binary: bool
    higher_is_better: bool


def totals(client: Client, project: str, window: Window) -> Measures:
    """One line for the whole window."""
    money = next(iter(ledger.sums(client, project, window)), ledger.Sum())
    return _measures(ask_one(client, _TOTALS, {"project": project, **window.bound()}), money)


def series(client: Client, project: str, window: Window, step_s: int) -> dict[int, Measures]:
    """Measures by bucket start (Unix seconds). A bucket without calls is present with zeros."""
    rows = ask(client, _SERIES, {"project": project, "step": step_s, **window.bound()})
    money = {entry.bucket: entry for entry in ledger.sums(client, project, window, step_s=step_s)}
    found = {int(row["bucket"]): _measures(row, money.pop(int(row["bucket"]), ledger.Sum())) for row in rows}
    found |= {at: _money(entry) for at, entry in money.items() if at is not None}
    return {bucket: found.get(bucket, Measures()) for bucket in window.buckets(step_s)}


def score_series(client: Client, project: str, window: Window, step_s: int) -> list[ScorePoint]:
    """Mean of each score by bucket, over verdicts with status ``ok``; ordered by name and time."""
    rows = ask(client, _SCORES, {"project": project, "step": step_s, **window.bound()})
    return [
        ScorePoint(
            name=row["name"],
            bucket=int(row["bucket"]),
            n=int(row["n"]),
            asked=int(row["asked"]),
            mean=number(row["mean"]),
            deviation=number(row["deviation"]),
            binary=bool(row["binary"]),
            higher_is_better=bool(row["higher_is_better"]),
        )
        for row in rows
    ]


def number(value: float | None) -> float | None:
    """The value, or None for NULL and NaN (an aggregate over nothing)."""
    return None if value is None or value != value else float(value)


def _money(entry: ledger.Sum) -> Measures:
    """A bucket in which money was spent and no call began."""
    return Measures(unpriced=entry.unpriced, cost=entry.cost, saved=entry.saved)


def _measures(row: Row, money: ledger.Sum) -> Measures:
    p50, p95 = row["latency"]
    return Measures(
        calls=int(row["calls"]),
        errors=int(row["errors"]),
        cut=int(row["cut"]),
        unpriced=money.unpriced,
        cost=money.cost,
        saved=money.saved,
        cache_hits=int(row["cache_hits"]),
        p50_ns=number(p50),
        p95_ns=number(p95),
        ttft_p50_ns=number(row["ttft_p50"]),
    )
