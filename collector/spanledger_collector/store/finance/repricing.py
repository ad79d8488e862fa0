"""Priced calls and their newest figures in pages; corrections of them out, as rows of ``repricings``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, cast

from spanledger.serving.usage import Usage
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import Row, ask
from spanledger_collector.store.reads.months import Month
from spanledger_collector.store.reads.window import HOUR, IN_SPANS, Window

from .dims import BUCKETS, CATEGORY, DIMS, OF_SPANS

PAGE = 20_000

# Calls of a pool have no API price in the ledger, whatever their row says.
_NEWEST = f"""
SELECT {CATEGORY} AS category, {OF_SPANS}, request_model, response_model,
    lower(hex(s.trace_id)) AS trace, lower(hex(s.span_id)) AS span, toUnixTimestamp64Nano(s.start_time) AS start,
    {", ".join(BUCKETS)},
    if(r.times > 0, r.cost_, s.cost_total) AS cost_now, if(r.times > 0, r.saved_, s.cost_saved) AS saved_now,
    if(r.times > 0, r.source_, s.price_source) AS source_now, if(r.times > 0, r.version_, s.price_version) AS version_now,
    s.cost_reported AS reported
FROM spans AS s
LEFT JOIN (
    SELECT trace_id, span_id, count() AS times, argMax(tuple(new_cost), time).1 AS cost_, argMax(tuple(new_saved), time).1 AS saved_,
        argMax(price_source, time) AS source_, argMax(price_version, time) AS version_
    FROM repricings WHERE project = {{project:String}} AND {IN_SPANS} GROUP BY trace_id, span_id
) AS r ON s.trace_id = r.trace_id AND s.span_id = r.span_id
WHERE project = {{project:String}} AND {IN_SPANS} AND billable AND NOT (gpu_pool != '' AND cache NOT IN ('exact', 'semantic'))
    AND ({{provider:String}} = '' OR provider = {{provider:String}}) AND ({{model:String}} = '' OR model = {{model:String}})
    AND (toUnixTimestamp64Nano(s.start_time), hex(s.trace_id), hex(s.span_id)) > ({{at:Int64}}, upper({{after_trace:String}}), upper({{after_span:String}}))
ORDER BY start, hex(s.trace_id), hex(s.span_id) LIMIT {PAGE}
"""  # noqa: S608 - names of our own

_HOURS = f"""
SELECT DISTINCT toUnixTimestamp(toStartOfHour(toDateTime(start_time, 'UTC'))) AS hour FROM spans
WHERE project = {{project:String}} AND {IN_SPANS} AND billable ORDER BY hour
"""  # noqa: S608

_FIGURES = (
    "cost_input",
    "cost_cache_read",
    "cost_cache_write",
    "cost_output",
    "cost_reasoning",
    "cost_other",
)
_COLUMNS = (
    "repricing_id", "project", "trace_id", "span_id", "start_time", "time", "category", *DIMS, "old_cost", "new_cost",
    "old_saved", "new_saved", *_FIGURES, "old_price_source", "old_price_version", "price_source", "price_version",
    "author", "note",
)  # fmt: skip

_BOOKED = (
    "category", "organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider", "upstream", "purpose",
)  # fmt: skip
_TO_BOOK = f"""
SELECT {", ".join(_BOOKED)}, toString(sum(toDecimal128(ifNull(new_cost, 0), 12) - toDecimal128(ifNull(old_cost, 0), 12))) AS amount,
    count() AS calls
FROM repricings WHERE project = {{project:String}} AND repricing_id = {{run:String}}
    AND toDate(start_time, 'UTC') >= {{first:Date}} AND toDate(start_time, 'UTC') < {{after:Date}}
GROUP BY {", ".join(_BOOKED)} HAVING amount != '0' ORDER BY {", ".join(_BOOKED)}
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCall:
    """A billable call with the newest figures it has; ids in hex, ``start`` in ns. ``dims`` in the order of ``DIMS``."""

    category: str
    dims: tuple[Any, ...]
    request_model: str
    response_model: str
    trace: str
    span: str
    start: int
    usage: Usage
    cost: Decimal | None
    saved: Decimal | None
    source: str
    version: str
    reported: Decimal | None = None

    def dim(self, name: str) -> str:
        """One dimension's value."""
        return str(self.dims[DIMS.index(name)])

    @property
    def is_hit(self) -> bool:
        """Whether a cache answered."""
        return self.dim("cache") in ("exact", "semantic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """A call's new figures: all parts of its cost, in the order ``cost_input`` ... ``cost_other``."""

    call: PricedCall
    cost: Decimal | None
    saved: Decimal | None
    parts: tuple[Decimal | None, ...] = (None,) * len(_FIGURES)
    source: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """An amount (USD) by which a closed month's calls of one kind cost more, and of how many calls."""

    month: Month
    dims: dict[str, str]
    amount: Decimal
    calls: int


def priced_calls(
    client: Client, project: str, window: Window, provider: str = "", model: str = ""
) -> Iterator[list[PricedCall]]:
    """Every billable call of the window that has a price or should, oldest first, in pages; none served by a pool."""
    for row in ask(client, _HOURS, {"project": project, **window.bound()}):
        start = int(row["hour"]) * 10**9
        bound: dict[str, object] = {
            "project": project, "provider": provider, "model": model, "at": 0, "after_trace": "", "after_span": "",
            **Window(max(start, window.start), min(start + HOUR, window.end)).bound(),
        }  # fmt: skip
        while True:
            rows = ask(client, _NEWEST, bound)
            if rows:
                yield [_call(row) for row in rows]
            if len(rows) < PAGE:
                break
            last = rows[-1]
            bound |= {"at": last["start"], "after_trace": last["trace"], "after_span": last["span"]}


def write(
    client: Client, project: str, run: str, changes: Sequence[Repricing], now_ms: int, author: str, note: str
) -> None:
    """Write corrections of one month or of several; ``run`` and the first call name the insert."""
    by_month: dict[int, list[list[Any]]] = {}
    for change in changes:
        by_month.setdefault(change.call.start // (28 * 24 * HOUR), []).append(
            _values(project, run, change, now_ms, author, note)
        )
    for part, values in by_month.items():
        token = f"{run}:{part}:{changes[0].call.trace}:{changes[0].call.span}:{len(values)}"
        client.insert(
            "repricings", values, column_names=list(_COLUMNS), settings={"insert_deduplication_token": token}
        )


def to_book(client: Client, project: str, run: str, month: Month) -> list[Booking]:
    """What a run changed of a closed month, by whom and what."""
    bound = {"project": project, "run": run, "first": month.first, "after": month.after}
    return [
        Booking(month, {name: str(row[name]) for name in _BOOKED}, Decimal(row["amount"]), int(row["calls"]))
        for row in ask(client, _TO_BOOK, bound)
    ]


def day_of(start: int) -> date:
    """The UTC day of a moment in ns."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + start // (24 * HOUR))


def _call(row: Row) -> PricedCall:
    return PricedCall(
        category=str(row["category"]),
        dims=tuple(tuple(row[name]) if name == "tags" else str(row[name]) for name in DIMS),
        request_model=str(row["request_model"]),
        response_model=str(row["response_model"]),
        trace=str(row["trace"]),
        span=str(row["span"]),
        start=int(row["start"]),
        usage=Usage(**{name: row[name] for name in BUCKETS}),
        cost=_money(row["cost_now"]),
        saved=_money(row["saved_now"]),
        source=str(row["source_now"]),
        version=str(row["version_now"]),
        reported=_money(row["reported"]),
    )


def _money(value: object) -> Decimal | None:
    return None if value is None else Decimal(cast(Decimal, value))


def _values(project: str, run: str, change: Repricing, now_ms: int, author: str, note: str) -> list[Any]:
    call = change.call
    dims = [
        list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value for value in call.dims
    ]
    return [
        run, project, bytes.fromhex(call.trace), bytes.fromhex(call.span), call.start, now_ms, call.category, *dims,
        call.cost, change.cost, call.saved, change.saved, *change.parts, call.source, call.version, change.source,
        change.version, author, note,
    ]  # fmt: skip
