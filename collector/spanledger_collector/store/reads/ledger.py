"""The ledger: all spend of a project, of every kind, summed by any dimension; exact, and as known at any day.

Rows are signed and never change (see ``schema/0007_ledger.sql``): a repriced call, a restated GPU interval or a late
call is a further row. Sums over all rows are the newest figures; sums over rows known before a day are what was known
then. A closed month counts what was known before its cutoff, and adjustments.

For whole days ``ledger_day`` answers by the dimensions of ``LEAN``, ``ledger_user_day`` and ``ledger_tags_day`` by users and
tags; anything else is summed from ``ledger``, whose rows those are the sums of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from spanledger.records import USAGE

from .asking import Client, every, statement
from .months import Month, counted, months
from .window import DAY, IN_DAYS, IN_TIME, SECOND, Window, bucket

LEAN = frozenset(
    {
        "category", "organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider",
        "upstream", "gpu_pool", "purpose", "service_tier", "region", "environment", "service", "prompt_name", "cache",
        "line", "basis", "source",
    }
)  # fmt: skip
"""The dimensions that ``ledger_day`` holds; days are given as buckets."""

_BY_USER = frozenset({"user_id", "team", "category", "source"})
_BY_TAGS = frozenset({"tags", "team", "model", "category", "source"})

DIMENSIONS: dict[str, str] = {
    **{name: name for name in sorted(LEAN)},
    "user_id": "user_id",
    "session_id": "session_id",
    "tags": "arrayStringConcat(arraySort(tags), ',')",
}
"""What spend can be grouped and filtered by, and the expression for each. ``tag:KEY`` is one more: the value of the
call's tag ``KEY:value`` or ``KEY=value``. Every dimension parts the rows, so that groups add up to the whole."""

TAG = "tag:"

_COUNTS = ("calls", "errors", "unpriced", "unlisted", *USAGE, "engine_ns")
_MONEY = ("cost", "saved", "list_cost", "reported")
LARGEST = 50_000
"""Groups that one question answers with at most."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums of one group; ``group`` holds the values of the dimensions asked for, in their order.

    ``bucket`` is the start of the time bucket in Unix seconds. Money is US dollars, unless another currency was asked
    for; what is unknown adds nothing and is counted: ``unpriced`` calls have no cost (of a GPU call: not yet), and
    ``unlisted`` GPU calls no vendor's price to compare with. ``list_cost`` is that price for the other GPU calls,
    ``saved`` what caches saved, ``reported`` what providers said themselves. ``engine_ns`` is GPU time of calls.
    """

    group: tuple[str, ...] = ()
    bucket: int | None = None
    calls: int = 0
    errors: int = 0
    unpriced: int = 0
    unlisted: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    image_units: int = 0
    web_searches: int = 0
    engine_ns: int = 0
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    list_cost: Decimal = Decimal(0)
    reported: Decimal = Decimal(0)

    def __add__(self, other: Sum) -> Sum:
        """Both together, as this group and bucket."""
        return replace(
            self, **{name: getattr(self, name) + getattr(other, name) for name in (*_COUNTS, *_MONEY)}
        )

    @property
    def tokens_in(self) -> int:
        """All input buckets together."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.input_audio_tokens
            + self.input_image_tokens
        )

    @property
    def tokens_out(self) -> int:
        """All output buckets together."""
        return (
            self.output_tokens + self.reasoning_tokens + self.output_audio_tokens + self.output_image_tokens
        )


class Cost(NamedTuple):
    """What one group cost in one bucket, as ``Sum`` has both; for charts, which need no more."""

    group: tuple[str, ...]
    bucket: int | None
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Which rows: ``only`` keeps those whose dimension has that value, ``tag`` those that carry all of these tags.

    ``known_before``: what was known before that day (UTC), whichever months were closed. ``as_closed`` false counts what
    came after a closed month's cutoff too. ``everywhere``: rows of all projects, for budgets over all of them; never for
    what a tenant asks.
    """

    only: Mapping[str, str] | None = None
    tag: Sequence[str] = ()
    known_before: date | None = None
    as_closed: bool = True
    everywhere: bool = False


def known_dimension(name: str) -> bool:
    """Whether spend can be grouped by this."""
    return name in DIMENSIONS or (name.startswith(TAG) and len(name) > len(TAG))


def sums(
    client: Client,
    project: str,
    window: Window,
    by: Sequence[str] = (),
    *,
    step_s: int | None = None,
    which: Ask | None = None,
    rates: Sequence[tuple[date, Decimal]] = (),
) -> list[Sum]:
    """Sums by the dimensions ``by``, and by bucket when ``step_s`` is given; dearest group first.

    ``rates`` are units of another currency for one US dollar from a day on, ascending: each row is converted by the
    rate of its own day (before the first: by the first). Raises KeyError for an unknown dimension.
    """
    rows = _asked(client, project, window, by, step_s, which or Ask(), rates, _COUNTS, _MONEY)
    found = [_sum(row, len(by), step_s is not None) for row in rows]
    return found if by or step_s is not None else [entry for entry in found if entry != Sum()]


def costs(
    client: Client,
    project: str,
    window: Window,
    by: Sequence[str] = (),
    *,
    step_s: int | None = None,
    which: Ask | None = None,
    rates: Sequence[tuple[date, Decimal]] = (),
) -> list[Cost]:
    """The costs of ``sums`` alone, in its order, at a third of the engine's work."""
    rows = _asked(client, project, window, by, step_s, which or Ask(), rates, (), ("cost",))
    at, bucketed = len(by), step_s is not None
    return [Cost(tuple(map(str, row[:at])), int(row[at]) if bucketed else None, row[-1]) for row in rows]


def _asked(
    client: Client,
    project: str,
    window: Window,
    by: Sequence[str],
    step_s: int | None,
    which: Ask,
    rates: Sequence[tuple[date, Decimal]],
    counts: Sequence[str],
    money: Sequence[str],
) -> Sequence[Sequence[Any]]:
    """Rows of dimensions, bucket where there is one, counts and money, which holds the cost; dearest first."""
    closed = months(client, project) if which.as_closed and which.known_before is None else []
    table = source_of(window, by, step_s, which)
    lean = table != "ledger"
    parameters: dict[str, object] = {"project": project, **window.bound()}
    groups = [f"{_expression(name, f'by_{at}', parameters)} AS by_{at}" for at, name in enumerate(by)]
    if step_s is not None:
        parameters["step"] = step_s
        groups.append(bucket("toDateTime(day, 'UTC')" if lean else "time") + " AS bucket")
    where = [*_within(which.everywhere, lean), *_conditions(which, closed, parameters)]
    measures = [f"ifNull(sum({name}), 0) AS {name}_" for name in counts]
    measures += [f"ifNull(sum({_converted(name, rates, parameters)}), 0) AS {name}_" for name in money]
    names = [group.rsplit(" AS ", 1)[1] for group in groups]
    sql = statement(
        f"SELECT {', '.join([*groups, *measures])} FROM {table} WHERE",  # noqa: S608
        every(where),
        f"GROUP BY {', '.join(names)}" if names else "",
        f"ORDER BY {', '.join(['cost_ DESC', *names])} LIMIT {LARGEST}",
    )
    return client.query(sql, parameters=parameters).result_rows  # no dicts: there may be fifty thousand


def source_of(window: Window, by: Sequence[str], step_s: int | None, which: Ask) -> str:
    """The table that answers: a daily sum that has the dimensions, for whole days; else the rows."""
    if not window.whole(DAY) or (step_s is not None and step_s % (DAY // SECOND) != 0):
        return "ledger"
    names = {"tags" if name.startswith(TAG) else name for name in (*by, *(which.only or ()))}
    if which.tag:
        names.add("tags")
    for table, held in (("ledger_day", LEAN), ("ledger_user_day", _BY_USER), ("ledger_tags_day", _BY_TAGS)):
        if held >= names:
            return table
    return "ledger"


def _within(everywhere: bool, lean: bool) -> list[str]:
    return [*([] if everywhere else ["project = {project:String}"]), IN_DAYS if lean else IN_TIME]


def _expression(name: str, bound: str, parameters: dict[str, object]) -> str:
    if not name.startswith(TAG):
        return DIMENSIONS[name]
    parameters[f"{bound}_a"], parameters[f"{bound}_b"] = f"{name[len(TAG) :]}:", f"{name[len(TAG) :]}="
    first = f"arrayFirst(x -> startsWith(x, {{{bound}_a:String}}) OR startsWith(x, {{{bound}_b:String}}), arraySort(tags))"
    return f"substring({first}, length({{{bound}_a:String}}) + 1)"


def _conditions(which: Ask, closed: Sequence[Month], parameters: dict[str, object]) -> list[str]:
    found: list[str] = []
    for at, (name, value) in enumerate((which.only or {}).items()):
        parameters[f"only_{at}"] = value
        found.append(f"{_expression(name, f'of_{at}', parameters)} = {{only_{at}:String}}")
    for at, tag in enumerate(which.tag):
        parameters[f"tag_{at}"] = tag
        found.append(f"has(tags, {{tag_{at}:String}})")
    if which.known_before is not None:
        parameters["known_before"] = which.known_before
        found.append("known_day < {known_before:Date}")
    for month in closed:
        found.append(counted(month, parameters))
    return found


def _converted(name: str, rates: Sequence[tuple[date, Decimal]], parameters: dict[str, object]) -> str:
    if not rates:
        return name
    cases: list[str] = []
    for at, (since, rate) in reversed(list(enumerate(rates))):
        parameters[f"rate_{at}"] = format(rate, "f")
        value = f"toDecimal128({{rate_{at}:String}}, 9)"
        if at:
            parameters[f"since_{at}"] = since
            cases.append(f"day >= {{since_{at}:Date}}, {value}")
        else:
            cases.append(value)
    return f"{name} * {cases[0]}" if len(cases) == 1 else f"{name} * multiIf({', '.join(cases)})"


def _sum(row: Sequence[Any], dimensions: int, bucketed: bool) -> Sum:
    """One row of the answer: dimensions, bucket where there is one, counts, money."""
    first = dimensions + bucketed
    group = tuple(map(str, row[:dimensions]))
    return Sum(group, int(row[dimensions]) if bucketed else None, *row[first:])
