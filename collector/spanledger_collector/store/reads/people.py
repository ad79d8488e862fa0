"""Who talks: sessions and users of a window, with what they did and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .asking import Client, ask, every, statement
from .window import IN_SPANS, Window

Order = Literal["last", "cost", "calls"]

# What can be ordered by: the expression, and the type in which a page's end is compared.
_ORDERS: dict[Order, tuple[str, str]] = {
    "last": ("toUnixTimestamp64Nano(max(start_time))", "Int64"),
    "cost": ("sum(toDecimal128(ifNull(cost_total, 0), 9))", "Decimal(38, 9)"),
    "calls": ("countIf(billable)", "UInt64"),
}

_SUMS = """
    countIf(billable) AS calls, uniqExact(trace_id) AS traces, countIf(status = 'error') AS errors,
    countIf(billable AND cost_total IS NULL) AS unpriced,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
    toUnixTimestamp64Nano(min(start_time)) AS first, toUnixTimestamp64Nano(max(start_time)) AS last
"""


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
    who: Literal["session_id", "user_id"],
    *,
    order: Order = "last",
    limit: int = 100,
    after: PersonAfter | None = None,
) -> list[Person]:
    """Sessions or users with a span in the window, greatest of ``order`` first."""
    column = {"session_id": "session_id", "user_id": "user_id"}[who]
    expression, kind = _ORDERS[order]
    parameters: dict[str, object] = {"project": project, "limit": limit, **window.bound()}
    having = ""
    if after:
        having = f"HAVING ({expression}, {column}) < ({{value:{kind}}}, {{id:String}})"
        parameters |= {"value": after.value, "id": after.id}
    where = every(["project = {project:String}", IN_SPANS, f"{column} != ''"])
    order_by = f"ORDER BY {expression} DESC, {column} DESC LIMIT {{limit:UInt32}}"
    # Who stands on this page is told by few columns; the sums are made for these alone.
    shown = f"SELECT {column} FROM spans WHERE {where} GROUP BY {column} {having} {order_by}"  # noqa: S608
    sql = statement(
        f"SELECT {column} AS id, {_SUMS},",
        "uniqExactIf(session_id, session_id != '') AS sessions,",
        "arraySort(groupUniqArrayIf(10)(user_id, user_id != '')) AS users",
        f"FROM spans WHERE {where} AND {column} IN ({shown}) GROUP BY {column} {order_by}",
    )
    return [Person(**row) for row in ask(client, sql, parameters)]
