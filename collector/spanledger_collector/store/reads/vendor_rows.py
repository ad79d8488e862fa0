"""Where calls on vendors' models are read from: sums of quarters of an hour where they hold all, else each call.

The sums do not know corrected prices, and not the calls that are older than they are: then the calls themselves are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .asking import Client, ask_one
from .corrections import has_repricings, newest_prices
from .spend import MODEL
from .window import IN_SPANS, Window

SLOT_MINUTES = 15
"""Every zone's days begin at such a minute."""

_IN_SLOTS = (
    "slot >= toDateTime(intDiv({start:Int64}, 1000000000), 'UTC')"
    " AND slot < toDateTime(intDiv({end:Int64}, 1000000000), 'UTC')"
)
_HOLDS = """SELECT
    (SELECT sum(calls) FROM vendor_usage WHERE project = {{project:String}} AND {slots}{providers}) =
    (SELECT sum(calls) FROM ledger_day WHERE project = {{project:String}} AND source = 'span'
        AND day >= toDate(toDateTime(intDiv({{start:Int64}}, 1000000000), 'UTC'))
        AND day < toDate(toDateTime(intDiv({{end:Int64}}, 1000000000), 'UTC'))
        AND gpu_pool = '' AND cache NOT IN ('exact', 'semantic'){providers}) AS holds"""


@dataclass(frozen=True, slots=True)
class VendorRows:
    """A source of rows and how each figure is summed from it; every answer is a piece of SQL.

    ``table`` is the name that columns of the source are qualified by.
    """

    table: str
    joined: str
    time: str
    model: str
    where: tuple[str, ...]
    calls: str
    unpriced: str
    priced: str
    is_repriced: bool = False

    @property
    def is_rolled_up(self) -> bool:
        """Whether these are sums, not calls."""
        return self.table == _SUMS.table

    def tokens(self, columns: Sequence[str]) -> str:
        """The sum of token counts."""
        if self.is_rolled_up:
            return f"sum({' + '.join(columns)})"
        return f"sum({self._counted(columns)})"

    def calls_with(self, name: str, columns: Sequence[str]) -> str:
        """How many calls had tokens of a type."""
        return f"sum({name}_calls)" if self.is_rolled_up else f"countIf({self._counted(columns)} > 0)"

    def cost(self, columns: Sequence[str], corrected: str = "") -> str:
        """The sum of costs at the newest price; ``corrected`` names the column of corrections where it has another name."""
        if self.is_rolled_up:
            return f"sum({' + '.join(columns)})"
        values = [
            f"if(fixed.found, fixed.{corrected or column}, spans.{column})"
            if self.is_repriced
            else f"spans.{column}"
            for column in columns
        ]
        return f"sum({' + '.join(f'toDecimal128(ifNull({value}, 0), 12)' for value in values)})"

    @staticmethod
    def _counted(columns: Sequence[str]) -> str:
        return " + ".join(f"toInt64(ifNull(spans.{column}, 0))" for column in columns)


_SUMS = VendorRows(
    table="vendor_usage",
    joined="",
    time="vendor_usage.slot",
    model="vendor_usage.model",
    where=("project = {project:String}", _IN_SLOTS),
    calls="sum(vendor_usage.calls)",
    unpriced="sumIf(vendor_usage.calls, NOT priced)",
    priced="priced",
)


def vendor_rows(
    client: Client,
    project: str,
    window: Window,
    providers: Sequence[str] = (),
    *,
    fits: bool = True,
    known_before: str = "",
) -> VendorRows:
    """The cheapest source that tells a project's calls on vendors' models within whole UTC days exactly.

    ``fits``: whether the sums have the dimensions, and quarters of an hour add up to the days, that are asked for.
    ``known_before`` names a parameter, bound by the caller: what became known on that day (UTC) or later is left out.
    """
    repriced = has_repricings(client, project, window)
    before = f" < {{{known_before}:Date}}"
    if fits and not repriced and _holds(client, project, window, providers):
        known = (f"known_day{before}",) if known_before else ()
        return replace(_SUMS, where=(*_SUMS.where, *known))
    changed = f"AND toDate(repricings.time, 'UTC'){before}" if known_before else ""
    total = "if(fixed.found, fixed.new_cost, spans.cost_total)" if repriced else "spans.cost_total"
    return VendorRows(
        table="spans",
        joined=newest_prices(changed) if repriced else "",
        time="spans.start_time",
        model=MODEL,
        where=(
            "spans.project = {project:String}",
            "billable",
            IN_SPANS.replace("start_time", "spans.start_time"),
            "gpu_pool = ''",
            "cache NOT IN ('exact', 'semantic')",
            *((f"toDate(inserted_at, 'UTC'){before}",) if known_before else ()),
        ),
        calls="count()",
        unpriced=f"countIf({total} IS NULL)",
        priced=f"{total} IS NOT NULL",
        is_repriced=repriced,
    )


def _holds(client: Client, project: str, window: Window, providers: Sequence[str]) -> bool:
    only = " AND provider IN {providers:Array(String)}" if providers else ""
    sql = _HOLDS.format(slots=_IN_SLOTS, providers=only)
    return bool(
        ask_one(client, sql, {"project": project, "providers": list(providers), **window.bound()})["holds"]
    )
