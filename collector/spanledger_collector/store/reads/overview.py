"""How much, how fast, how well: totals and buckets of one project's calls in a window.

Calls are billable spans and requests that failed without one (``rules.CALLS``); cost, savings and unpriced are
the ledger's, so that pages add up to it. Windows and buckets of whole hours are told by ``call_hour``, whose quantiles are
within 0.5 % of the calls' own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal

from . import ledger
from .asking import Client, Row, ask, ask_one, every, statement
from .rules import CALLS
from .window import HOUR, IN_HOURS, IN_SPANS, IN_TIME, SECOND, Window, bucket


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that can tell of calls: its time, which rows, and how it says what is asked."""

    table: str
    time: str
    rows: tuple[str, ...]
    calls: str
    latency: str  # [p50, p95]
    ttft: str  # p50


_SPANS = _Source(
    "spans", "start_time", (CALLS, IN_SPANS), "countIf({})", "quantilesTDigest(0.5, 0.95)(duration_ns)",
    "quantileTDigestIf(0.5)(ifNull(ttft_ns, 0), ttft_ns IS NOT NULL)",
)  # fmt: skip
_HOURS = _Source(
    "call_hour", "hour", (IN_HOURS,), "sumIf(call_hour.calls, {})", "quantilesDDMerge(0.005, 0.5, 0.95)(duration)",
    "quantilesDDMerge(0.005, 0.5, 0.95)(call_hour.ttft)[1]",
)  # fmt: skip

_SCORES = f"""
SELECT name, {bucket("time")} AS bucket,
    countIf(status = 'ok') AS n, count() AS asked, avgIf(value, status = 'ok') AS mean,
    stddevSampIf(value, status = 'ok') AS deviation,
    countIf(status = 'ok' AND value IN (0, 1)) = n AS binary, any(higher_is_better) AS higher_is_better
FROM scores FINAL
WHERE project = {{project:String}} AND {IN_TIME}
GROUP BY name, bucket ORDER BY name, bucket
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Measures:
    """Counts and quantiles of some calls. Times in nanoseconds, None when nothing was measured."""

    calls: int = 0
    errors: int = 0
    cut: int = 0
    cache_hits: int = 0
    p50_ns: float | None = None
    p95_ns: float | None = None
    ttft_p50_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Total(Measures):
    """With the ledger's money, in USD."""

    unpriced: int = 0
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)


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


def totals(client: Client, project: str, window: Window) -> Total:
    """One line for the whole window."""
    money = next(iter(ledger.sums(client, project, window)), ledger.Sum())
    source = _HOURS if window.whole(HOUR) else _SPANS
    sql = statement("SELECT", _measured(source), _of(source))
    return _total(_measures(ask_one(client, sql, {"project": project, **window.bound()})), money)


def series(client: Client, project: str, window: Window, step_s: int) -> dict[int, Measures]:
    """Measures by bucket start (Unix seconds). A bucket without calls is present with zeros."""
    source = _HOURS if window.whole(HOUR) and step_s % (HOUR // SECOND) == 0 else _SPANS
    sql = statement(
        f"SELECT {bucket(source.time)} AS bucket,",
        _measured(source),
        _of(source),
        "GROUP BY bucket ORDER BY bucket",
    )
    rows = ask(client, sql, {"project": project, "step": step_s, **window.bound()})
    found = {int(row["bucket"]): _measures(row) for row in rows}
    return {at: found.get(at, Measures()) for at in window.buckets(step_s)}


def totals_series(client: Client, project: str, window: Window, step_s: int) -> dict[int, Total]:
    """``series`` with the ledger's money, which the ledger must sum from its rows where buckets are no whole days."""
    money = {entry.bucket: entry for entry in ledger.sums(client, project, window, step_s=step_s)}
    measured = series(client, project, window, step_s)
    return {at: _total(entry, money.get(at, ledger.Sum())) for at, entry in measured.items()}


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


def _total(measured: Measures, money: ledger.Sum) -> Total:
    return Total(**asdict(measured), unpriced=money.unpriced, cost=money.cost, saved=money.saved)


def _measured(source: _Source) -> str:
    counted = {
        "calls": "1",
        "errors": "status = 'error'",
        "cut": "status = 'cut'",
        "cache_hits": "cache IN ('exact', 'semantic')",
    }
    counts = [f"{source.calls.format(which)} AS {name}" for name, which in counted.items()]
    return ", ".join([*counts, f"{source.latency} AS latency", f"{source.ttft} AS ttft_p50"])


def _of(source: _Source) -> str:
    return f"FROM {source.table} WHERE " + every(["project = {project:String}", *source.rows])


def _measures(row: Row) -> Measures:
    p50, p95 = row["latency"]
    return Measures(
        calls=int(row["calls"]),
        errors=int(row["errors"]),
        cut=int(row["cut"]),
        cache_hits=int(row["cache_hits"]),
        p50_ns=number(p50),
        p95_ns=number(p95),
        ttft_p50_ns=number(row["ttft_p50"]),
    )
