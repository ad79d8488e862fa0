"""Who talks: sessions and users of a window, with what they did and what it cost.

Whole days are told by ``person_day``, which counts traces and sessions of whoever has thousands of them within 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .asking import Client, Row, ask, ask_one, every, statement
from .window import DAY, IN_DAYS, IN_SPANS, Window

Order = Literal["last", "cost", "calls"]
Who = Literal["session_id", "user_id"]


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that can tell of people: whose rows, their id, and the aggregates over them."""

    table: str
    rows: tuple[str, ...]
    id: str
    orders: dict[Order, str]
    sums: str


_SPANS = _Source(
    table="spans",
    rows=(IN_SPANS, "{who} != ''"),
    id="{who}",
    orders={
        "last": "max(start_time)",
        "cost": "sum(toDecimal128(ifNull(cost_total, 0), 9))",
        "calls": "countIf(billable)",
    },
    sums="""
        countIf(billable) AS calls, uniqExact(trace_id) AS traces, countIf(status = 'error') AS errors,
        countIf(billable AND cost_total IS NULL) AS unpriced, sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
        toUnixTimestamp64Nano(min(start_time)) AS first_ns, toUnixTimestamp64Nano(max(start_time)) AS last_ns,
        uniqExactIf(session_id, session_id != '') AS sessions, arraySort(groupUniqArrayIf(10)(user_id, user_id != '')) AS users
    """,
)
_DAYS = _Source(
    table="person_day",
    rows=(IN_DAYS, "who = '{who}'"),
    id="id",
    orders={"last": "max(last)", "cost": "sum(person_day.cost)", "calls": "sum(person_day.calls)"},
    sums="""
        sum(person_day.calls) AS calls, uniqCombined64Merge(14)(person_day.traces) AS traces,
        sum(person_day.errors) AS errors, sum(person_day.unpriced) AS unpriced, sum(person_day.cost) AS cost,
        toUnixTimestamp64Nano(min(first)) AS first_ns, toUnixTimestamp64Nano(max(last)) AS last_ns,
        uniqCombined64Merge(14)(person_day.sessions) AS sessions, arraySort(groupUniqArrayArray(10)(person_day.users)) AS users
    """,
)

# The type in which a page's end is compared.
_TYPES: dict[Order, str] = {"last": "Int64", "cost": "Decimal(38, 9)", "calls": "UInt64"}


@dataclass(frozen=True, slots=True)
class Person:
    """One session or one user: sums over their spans; ``first`` and ``last`` start in ns, ``cost`` in USD."""

    id: str
    calls: int
    traces: int
    errors: int
    unpriced: int
    cost: Decimal
    first: int
    last: int
    sessions: int
    users: list[str]


@dataclass(frozen=True, slots=True)
class PersonAfter:
    """Where the page before ended: the value it was ordered by, as text, and the id."""

    value: str
    id: str


def people(
    client: Client,
    project: str,
    window: Window,
    who: Who,
    *,
    order: Order = "last",
    limit: int = 100,
    after: PersonAfter | None = None,
) -> list[Person]:
    """Sessions or users with a span in the window, greatest of ``order`` first."""
    source = _DAYS if window.whole(DAY) else _SPANS
    among = window
    if source is _DAYS and order == "last" and after is None:
        lately = Window(max(window.start, window.end - _LATELY), window.end)
        among = lately if _number(client, project, lately, who, limit) == limit else window
    parameters: dict[str, object] = {"project": project, "limit": limit, **window.bound()}
    parameters |= {"among_start": among.start, "among_end": among.end}
    value = source.orders[order]
    having = ""
    if after:
        compared = f"toUnixTimestamp64Nano({value})" if order == "last" else value
        having = f"HAVING ({compared}, {source.id}) < ({{value:{_TYPES[order]}}}, {{id:String}})"
        parameters |= {"value": after.value, "id": after.id}
    rows = every(["project = {project:String}", *source.rows])
    order_by = f"ORDER BY {value} DESC, {source.id} DESC LIMIT {{limit:UInt32}}"
    # Who stands on this page is told by few columns; the sums are made for these alone.
    shown = f"SELECT {source.id} FROM {source.table} WHERE {_among(rows)} GROUP BY {source.id} {having} {order_by}"  # noqa: S608
    sql = statement(
        f"SELECT {source.id} AS person, {source.sums}",
        f"FROM {source.table} WHERE {rows} AND {source.id} IN ({shown}) GROUP BY {source.id} {order_by}",
    ).replace("{who}", who)
    return [_person(row) for row in ask(client, sql, parameters)]


_LATELY = 2 * DAY  # today may have only begun


def _number(client: Client, project: str, window: Window, who: Who, most: int) -> int:
    """How many people ``person_day`` has in the window, or ``most`` where it has more."""
    sql = f"SELECT least(uniqExact(id), {{most:UInt32}}) AS n FROM person_day WHERE project = {{project:String}} AND who = {{who:String}} AND {IN_DAYS}"  # noqa: S608
    return int(ask_one(client, sql, {"project": project, "who": who, "most": most, **window.bound()})["n"])


def _among(rows: str) -> str:
    return rows.replace("{start:", "{among_start:").replace("{end:", "{among_end:")


def _person(row: Row) -> Person:
    return Person(
        id=row["person"],
        calls=int(row["calls"]),
        traces=int(row["traces"]),
        errors=int(row["errors"]),
        unpriced=int(row["unpriced"]),
        cost=row["cost"],
        first=row["first_ns"],
        last=row["last_ns"],
        sessions=int(row["sessions"]),
        users=row["users"],
    )
