"""A project's ledger in; the rows of its FOCUS export out, complete or only what changed since a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from spanledger_collector.finance.focus import Meter, Period, charges_of, row_of
from spanledger_collector.finance.focus.rows import Row
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads import charges
from spanledger_collector.store.reads.charges import GROUP, Step, Sums, Values
from spanledger_collector.store.reads.months import Month, is_closed, months

Held = dict[Values, list[Meter]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to export: charge periods from ``first`` until before ``after``, by ``step``.

    ``since``: only periods about which something became known on that day or later; each of them is told whole, so that it
    replaces what was told before. Corrections of closed months are rows of their own, in the month they were booked in.
    """

    first: date
    after: date
    step: Step = "day"
    since: date | None = None


def focus_rows(client: Client, project: str, what: Export) -> Iterator[Row]:
    """Rows in order of their charge periods, corrections of earlier months at the end of each month they are billed in."""
    closed = months(client, project)
    starts = list(_starts(what))
    if what.since is not None:
        changed = charges.changed_days(client, project, what.since, what.first, what.after)
        touched = {_start(day, what.step) for day in changed}
        starts = [start for start in starts if start in touched]
    for start in starts:
        end = min(_end(start, what.step), what.after)
        yield from _period(client, project, max(start, what.first), end, what.step, closed)
    for month in _months(what):
        for sums in charges.charge_sums(client, project, month.first, month.after, what.step, billed=month):
            yield from _rows(sums, {}, what.step, project, closed)


def _period(
    client: Client, project: str, start: date, end: date, step: Step, closed: Sequence[Month]
) -> Iterator[Row]:
    held: Held = {
        values: [Meter(name, Decimal(tokens), cost) for name, tokens, cost in split]
        for values, split in charges.meters(client, project, start, end).items()
    }
    for sums in charges.charge_sums(client, project, start, end, step):
        yield from _rows(sums, held, step, project, closed)


def _rows(sums: Sums, held: Held, step: Step, project: str, closed: Sequence[Month]) -> Iterator[Row]:
    group = {**dict(zip(GROUP, sums.values, strict=True)), "line": sums.line}
    period = Period(
        start=sums.start,
        end=_end(sums.start, step),
        billing=sums.billing,
        kind=sums.kind,
        group=group,
        cost=sums.cost,
        saved=sums.saved,
        list_cost=sums.list_cost,
        calls=sums.calls,
        unpriced=sums.unpriced,
        tokens=sums.tokens,
        engine_ns=sums.engine_ns,
        closed=is_closed(closed, sums.start),
        meters=tuple(held.get(sums.values, ())) if sums.kind == "usage" else (),
    )
    return (row_of(charge, project) for charge in charges_of(period))


def _starts(what: Export) -> Iterator[date]:
    day = _start(what.first, what.step)
    while day < what.after:
        yield day
        day = _end(day, what.step)


def _start(day: date, step: Step) -> date:
    return day if step == "day" else day.replace(day=1)


def _end(start: date, step: Step) -> date:
    return start + timedelta(days=1) if step == "day" else (start + timedelta(days=32)).replace(day=1)


def _months(what: Export) -> Iterator[Month]:
    """The months whose end lies within the export: their bills hold corrections of earlier months."""
    first = what.first.replace(day=1)
    while first < what.after:
        month = Month(first=first, state="open", cutoff=first)
        if month.first >= what.first:
            yield month
        first = month.after
