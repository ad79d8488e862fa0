"""Calls in; what they cost by what is known now out: prices corrected since, and shares of GPU pools.

A row of ``spans`` keeps the figure it was stored with. Lists and records show these in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import Client, Row, ask

_ASKED = 200  # ids of one question: bound values travel in the address line
_FIGURES = (
    "cost_input",
    "cost_cache_read",
    "cost_cache_write",
    "cost_output",
    "cost_reasoning",
    "cost_other",
)

_IN = "(lower(hex(trace_id)), lower(hex(span_id))) IN (SELECT arrayJoin(arrayZip({traces:Array(String)}, {spans:Array(String)})))"
_REPRICED = f"""
SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, toUnixTimestamp64Milli(time) AS at,
    old_cost, new_cost, new_saved, {", ".join(_FIGURES)}, price_source, price_version, author, note
FROM repricings WHERE project = {{project:String}} AND start_time >= fromUnixTimestamp64Nano({{low:Int64}}, 'UTC')
    AND start_time <= fromUnixTimestamp64Nano({{high:Int64}}, 'UTC') AND {_IN}
ORDER BY time
"""  # noqa: S608
_SHARES = f"""
SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, sum(cost * sign) AS cost_, sum(list_cost * sign) AS list_cost_,
    sum(if(home, sign, 0)) AS listed, anyLast(basis) AS basis_
FROM gpu_costs WHERE project = {{project:String}} AND line = 'call'
    AND time >= fromUnixTimestamp64Nano({{low:Int64}}, 'UTC')
    AND time <= fromUnixTimestamp64Nano({{high:Int64}}, 'UTC') + INTERVAL 1 DAY AND {_IN}
GROUP BY trace, span
"""  # noqa: S608
_ANY = """
SELECT (SELECT count() > 0 FROM (SELECT 1 FROM repricings WHERE project = {project:String}
    AND start_time >= fromUnixTimestamp64Nano({low:Int64}, 'UTC') AND start_time <= fromUnixTimestamp64Nano({high:Int64}, 'UTC') LIMIT 1)) AS repriced,
    (SELECT count() > 0 FROM (SELECT 1 FROM gpu_costs WHERE project = {project:String} LIMIT 1)) AS shared
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A call's figures as known now (USD; None: unknown). ``history`` are its corrections, oldest first.

    ``list_cost`` is what a vendor would have charged for a call that a pool served; ``basis`` how its share was found.
    """

    cost: Decimal | None
    saved: Decimal | None = None
    list_cost: Decimal | None = None
    basis: str = ""
    history: tuple[Row, ...] = ()


def newest(
    client: Client, project: str, calls: Sequence[tuple[str, str, int]]
) -> dict[tuple[str, str], Known]:
    """What is known now of those calls (trace and span in hex, start in ns) whose row does not say it."""
    if not calls:
        return {}
    starts = [start for _, _, start in calls]
    bound: dict[str, Any] = {"project": project, "low": min(starts), "high": max(starts)}
    (there,) = ask(client, _ANY, bound)
    found: dict[tuple[str, str], Known] = {}
    for at in range(0, len(calls), _ASKED):
        some = calls[at : at + _ASKED]
        ids = {"traces": [trace for trace, _, _ in some], "spans": [span for _, span, _ in some]}
        if there["repriced"]:
            found |= _repriced(ask(client, _REPRICED, bound | ids))
        if there["shared"]:
            found |= {_key(row): _share(row) for row in ask(client, _SHARES, bound | ids)}
    return found


def show(client: Client, project: str, rows: Sequence[Row], trace_id: str = "") -> None:
    """Put what is known now into lines of calls: ``cost_total`` and ``cost_saved`` of each billable one.

    ``trace_id`` is for lines of one trace, which do not name it.
    """
    lines = [row for row in rows if row["billable"]]
    known = newest(
        client, project, [(trace_id or row["trace"], row["span"], row["start_ns"]) for row in lines]
    )
    for row in lines:
        if (figures := known.get((trace_id or row["trace"], row["span"]))) is not None:
            row["cost_total"] = figures.cost
            row["cost_saved"] = figures.saved if figures.saved is not None else row["cost_saved"]


def correct(client: Client, project: str, record: Row) -> None:
    """Put what is known now into one full record, and how it came to be."""
    key = (record["trace_id"], record["span_id"])
    figures = newest(client, project, [(*key, record["start_time"])]).get(key)
    record["list_cost"], record["cost_basis"], record["repricings"] = None, "", []
    if figures is None:
        return
    record["cost_total"], record["list_cost"], record["cost_basis"] = (
        figures.cost,
        figures.list_cost,
        figures.basis,
    )
    if figures.history:
        last = figures.history[-1]
        record |= {name: last[name] for name in (*_FIGURES, "price_source", "price_version")}
        record["cost_saved"] = figures.saved if figures.saved is not None else record["cost_saved"]
        record["repricings"] = [{name: _told(row[name]) for name in _TOLD} for row in figures.history]


def _told(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


_TOLD = ("at", "old_cost", "new_cost", "price_source", "price_version", "author", "note")


def _repriced(rows: Sequence[Row]) -> dict[tuple[str, str], Known]:
    by_call: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_call.setdefault(_key(row), []).append(row)
    return {
        key: Known(cost=story[-1]["new_cost"], saved=story[-1]["new_saved"], history=tuple(story))
        for key, story in by_call.items()
    }


def _share(row: Row) -> Known:
    listed = row["list_cost_"] if row["listed"] else None
    return Known(cost=row["cost_"], list_cost=listed, basis=str(row["basis_"]))


def _key(row: Row) -> tuple[str, str]:
    return str(row["trace"]), str(row["span"])
