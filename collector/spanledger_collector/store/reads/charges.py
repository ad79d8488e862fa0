"""The ledger by charge period and every dimension, and what each token type cost: what a FOCUS export is made of.

A closed month counts what was known before its cutoff; adjustments booked later belong to the month they were booked in.
Token types are summed from the calls' own rows (with their newest price), which may have expired; the ledger's sums stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from spanledger.records import USAGE
from spanledger_collector.store.finance.dims import CATEGORY

from .asking import Client, Row, ask, every, statement
from .months import Month, counted, months
from .vendor_rows import vendor_rows
from .window import Window

GROUP = (
    "category", "organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider", "upstream",
    "gpu_pool", "purpose", "service_tier", "region", "environment", "service", "prompt_name", "cache",
)  # fmt: skip
Step = Literal["day", "month"]
Values = tuple[str, ...]

_ROLLED = frozenset({"model", "provider", "team", "key_id", "upstream", "service_tier"})
_SETTINGS = {"max_result_rows": 5_000_000, "max_result_bytes": 2 << 30, "max_execution_time": 120}
_START = {"day": "day", "month": "toStartOfMonth(day)"}
_TOKENS_SUM = " + ".join(f"sum({name})" for name in USAGE)

_SUMS = """
SELECT {start} AS start_, multiIf(source = 'adjustment', 'adjustment', source = 'gpu', 'gpu', 'usage') AS kind,
    {billing} AS billing_, {group}, line, sum(cost) AS cost_, sum(saved) AS saved_, sum(list_cost) AS list_,
    sum(unlisted) AS unlisted_, sum(calls) AS calls_, sum(unpriced) AS unpriced_, {tokens} AS tokens_,
    sum(engine_ns) AS engine_ns_
FROM ledger_day WHERE
"""

_METERS: dict[str, tuple[tuple[str, ...], str]] = {
    "input": (("input_tokens",), "cost_input"),
    "cache_read": (("cache_read_tokens",), "cost_cache_read"),
    "cache_write": (("cache_write_tokens", "cache_write_1h_tokens"), "cost_cache_write"),
    "output": (("output_tokens",), "cost_output"),
    "reasoning": (("reasoning_tokens",), "cost_reasoning"),
    "other": (
        (
            "input_audio_tokens",
            "output_audio_tokens",
            "input_image_tokens",
            "output_image_tokens",
            "image_units",
            "web_searches",
        ),
        "cost_other",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """One group of one charge period as the ledger has it; ``values`` in the order of ``GROUP``."""

    start: date
    kind: str
    billing: date
    values: Values
    line: str
    cost: Decimal
    saved: Decimal
    list_cost: Decimal | None
    calls: int
    unpriced: int
    tokens: int
    engine_ns: int


def charge_sums(
    client: Client, project: str, first: date, after: date, step: Step, *, billed: Month | None = None
) -> list[Sums]:
    """Sums of charge periods from ``first`` until before ``after``.

    With ``billed`` (a month) instead the adjustments of closed earlier months that were booked in it.
    """
    closed = months(client, project)
    parameters: dict[str, object] = {"project": project, "first": first, "after": after}
    where = ["project = {project:String}"]
    if billed is None:
        where += ["day >= {first:Date}", "day < {after:Date}"]
        where += [
            _as_billed(month, parameters) for month in closed if first < month.after and month.first < after
        ]
        billing = "toStartOfMonth(day)"
    else:
        parameters |= {"booked": billed.first, "ended": billed.after}
        earlier = [month for month in closed if month.first < billed.first]
        if not earlier:
            return []
        late = [_corrected(month, parameters) for month in earlier]
        where += [
            "source = 'adjustment'",
            "known_day >= {booked:Date}",
            "known_day < {ended:Date}",
            f"({' OR '.join(late)})",
        ]
        billing = "{booked:Date}"
    sql = statement(
        _SUMS.format(start=_START[step], billing=billing, group=", ".join(GROUP), tokens=_TOKENS_SUM),
        every(where),
        f"GROUP BY start_, kind, billing_, {', '.join(GROUP)}, line ORDER BY start_, kind, {', '.join(GROUP)}, line",
    )
    return [_sums(row) for row in ask(client, sql, parameters, _SETTINGS)]


def _as_billed(month: Month, parameters: dict[str, object]) -> str:
    """A closed month's rows: what was known before its cutoff; adjustments booked before it too, later ones elsewhere."""
    condition = counted(month, parameters)
    key = f"{month.first:%Y%m}"
    return f"{condition} AND (source != 'adjustment' OR day < {{m{key}:Date}} OR day >= {{n{key}:Date}} OR known_day < {{c{key}:Date}})"


def _corrected(month: Month, parameters: dict[str, object]) -> str:
    counted(month, parameters)
    key = f"{month.first:%Y%m}"
    return f"(day >= {{m{key}:Date}} AND day < {{n{key}:Date}} AND known_day >= {{c{key}:Date}})"


def _sums(row: Row) -> Sums:
    listed = Decimal(row["list_"] or 0)
    return Sums(
        start=row["start_"],
        kind=str(row["kind"]),
        billing=row["billing_"],
        values=tuple(str(row[name]) for name in GROUP),
        line=str(row["line"]),
        cost=Decimal(row["cost_"]),
        saved=Decimal(row["saved_"]),
        list_cost=listed if row["kind"] == "gpu" and not row["unlisted_"] and listed else None,
        calls=int(row["calls_"]),
        unpriced=int(row["unpriced_"]),
        tokens=int(row["tokens_"]),
        engine_ns=int(row["engine_ns_"]),
    )


def meters(
    client: Client,
    project: str,
    first: date,
    after: date,
    by: Sequence[str] = GROUP,
    *,
    team: str | None = None,
) -> dict[Values, list[tuple[str, int, Decimal]]]:
    """Tokens and cost of each meter by the dimensions ``by``, of calls with a price of their own.

    Days from ``first`` until before ``after``, all of one month. Calls on GPU pools and answers from our cache have none. A
    repriced call counts at its newest price.
    """
    closed = [month for month in months(client, project) if month.first <= first < month.after]
    window = days_window(first, after)
    parameters: dict[str, object] = {"project": project, "team": team or "", **window.bound()}
    if closed:
        parameters["cutoff"] = closed[0].cutoff
    rows = vendor_rows(
        client, project, window, known_before="cutoff" if closed else "", fits=set(by) <= _ROLLED
    )
    expressions = {"category": CATEGORY, "model": rows.model}
    group = [f"{expressions.get(name, f'{rows.table}.{name}')} AS by_{name}" for name in by]
    sums: list[str] = []
    for name, (tokens, cost) in _METERS.items():
        sums += [f"{rows.tokens(tokens)} AS {name}_tokens_", f"{rows.cost([cost])} AS {name}_cost_"]
    sql = statement(
        f"SELECT {', '.join([*group, *sums])} FROM {rows.table} {rows.joined} WHERE",  # noqa: S608
        every(
            [
                *rows.where,
                rows.priced,
                *([f"{rows.table}.team = {{team:String}}"] if team is not None else []),
            ]
        ),
        f"GROUP BY {', '.join(f'by_{name}' for name in by)}",
    )
    return {
        tuple(str(row[f"by_{name}"]) for name in by): _split(row)
        for row in ask(client, sql, parameters, _SETTINGS)
    }


def changed_days(client: Client, project: str, since: date, first: date, after: date) -> list[date]:
    """Days from ``first`` until before ``after`` about which something became known on ``since`` or later."""
    sql = (
        "SELECT DISTINCT day FROM ledger_day WHERE project = {project:String} AND known_day >= {since:Date}"
        " AND day >= {first:Date} AND day < {after:Date} ORDER BY day"
    )
    rows = ask(client, sql, {"project": project, "since": since, "first": first, "after": after})
    return [row["day"] for row in rows]


def days_window(first: date, after: date) -> Window:
    """Whole UTC days as a window."""
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, after))
    return Window(int(start.timestamp()) * 10**9, int(end.timestamp()) * 10**9)


def _split(row: Mapping[str, Any]) -> list[tuple[str, int, Decimal]]:
    found = [(name, int(row[f"{name}_tokens_"]), Decimal(row[f"{name}_cost_"])) for name in _METERS]
    return [entry for entry in found if entry[1] or entry[2]]
