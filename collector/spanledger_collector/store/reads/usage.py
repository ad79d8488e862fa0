"""Our calls as a vendor bills them: tokens and cost by day of any time zone, account, model, tier and token type.

Only calls that reach a vendor's bill: no answers from our cache, nothing on our own GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal

from spanledger_collector.finance.bills import TokenType
from spanledger_collector.finance.bills.cells import tier_of
from spanledger_collector.finance.reconcile import HourUsage, OurUsage

from .asking import Client, Row, ask, every, statement
from .charges import has_repricings, newest_prices
from .spend import MODEL
from .window import IN_SPANS, Window

Account = Literal["", "upstream", "key_id", "team"]

_LARGEST = {"max_result_rows": 2_000_000, "max_result_bytes": 1 << 30, "max_execution_time": 120}
_TYPES: dict[TokenType, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "input": (("input_tokens",), ("cost_input",)),
    "cache_read": (("cache_read_tokens",), ("cost_cache_read",)),
    "cache_write": (("cache_write_tokens", "cache_write_1h_tokens"), ("cost_cache_write",)),
    "output": (("output_tokens", "reasoning_tokens"), ("cost_output", "cost_reasoning")),
    "audio": (("input_audio_tokens", "output_audio_tokens"), ("cost_other",)),
}


class OurSide:
    """One project's calls to one vendor within days of any zone, as ``finance.reconcile`` asks for them."""

    def __init__(
        self,
        client: Client,
        project: str,
        providers: Sequence[str],
        first: date,
        until: date,
        account: Account = "",
    ) -> None:
        """``providers``: as the calls name theirs; none for all. ``until`` is inclusive. A day more is read at both ends."""
        self._client, self._account = client, account
        start = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
        end = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=2)
        self._window = Window(int(start.timestamp()) * 10**9, int(end.timestamp()) * 10**9)
        self._bound: dict[str, object] = {"project": project, **self._window.bound()}
        self._where = [
            "spans.project = {project:String}",
            "billable",
            IN_SPANS.replace("start_time", "spans.start_time"),
            "gpu_pool = ''",
            "cache NOT IN ('exact', 'semantic')",
        ]
        if providers:
            self._bound["providers"] = list(providers)
            self._where.append("provider IN {providers:Array(String)}")
        self._repriced = has_repricings(client, project, self._window)

    def days(self, zone: tzinfo) -> list[OurUsage]:
        """Sums by days of a zone."""
        account = f"spans.{self._account}" if self._account else "''"
        total = self._value("new_cost", "cost_total")
        sums = [f"countIf({total} IS NULL) AS unpriced_", "count() AS calls_"]
        for name, (tokens, costs) in _TYPES.items():
            counted = " + ".join(f"toInt64(ifNull(spans.{column}, 0))" for column in tokens)
            priced = " + ".join(
                f"toDecimal128(ifNull({self._value(column, column)}, 0), 12)" for column in costs
            )
            sums.append(
                f"sum({counted}) AS {name}_tokens, sum({priced}) AS {name}_cost, countIf({counted} > 0) AS {name}_calls"
            )
        sql = statement(
            f"SELECT {self._day(zone)} AS day_, {account} AS account_, {MODEL} AS model_, service_tier AS tier_,",
            ", ".join(sums),
            "FROM spans",
            newest_prices() if self._repriced else "",
            "WHERE",
            every(self._where),
            "GROUP BY day_, account_, model_, tier_ ORDER BY day_, model_",
        )  # fmt: skip
        rows = ask(self._client, sql, self._bound | self._zone(zone), _LARGEST)
        return [usage for row in rows for usage in _usage(row)]

    def hours(self) -> list[HourUsage]:
        """Sums by half hours."""
        tokens = " + ".join(
            f"toInt64(ifNull(spans.{column}, 0))" for columns, _ in _TYPES.values() for column in columns
        )
        cost = f"sum(toDecimal128(ifNull({self._value('new_cost', 'cost_total')}, 0), 12))"
        sql = statement(
            "SELECT toUnixTimestamp(toStartOfInterval(spans.start_time, INTERVAL 30 MINUTE, 'UTC')) AS at,",
            f"{MODEL} AS model_, sum({tokens}) AS tokens_, {cost} AS cost_ FROM spans",
            newest_prices() if self._repriced else "",
            "WHERE",
            every(self._where),
            "GROUP BY at, model_",
        )
        return [
            HourUsage(datetime.fromtimestamp(int(row["at"]), UTC), str(row["model_"]), int(row["tokens_"]), Decimal(row["cost_"]))
            for row in ask(self._client, sql, self._bound, _LARGEST)
        ]  # fmt: skip

    def _value(self, corrected: str, column: str) -> str:
        return f"if(fixed.found, fixed.{corrected}, spans.{column})" if self._repriced else f"spans.{column}"

    def _day(self, zone: tzinfo) -> str:
        if hasattr(zone, "key"):
            return "toDate(spans.start_time, {zone:String})"
        return "toDate(addMinutes(spans.start_time, {shift:Int32}), 'UTC')"

    def _zone(self, zone: tzinfo) -> dict[str, Any]:
        if key := getattr(zone, "key", None):
            return {"zone": key}
        offset = datetime(2000, 1, 1, tzinfo=zone).utcoffset() or timedelta()
        return {"shift": int(offset.total_seconds() // 60)}


def providers(client: Client, project: str, first: date, after: date) -> list[str]:
    """The vendors that a project's calls went to."""
    sql = (
        "SELECT DISTINCT provider FROM ledger_day WHERE project = {project:String} AND day >= {first:Date}"
        " AND day < {after:Date} AND gpu_pool = '' AND provider != '' ORDER BY provider LIMIT 200"
    )
    return [
        str(row["provider"]) for row in ask(client, sql, {"project": project, "first": first, "after": after})
    ]


def _usage(row: Row) -> list[OurUsage]:
    found: list[OurUsage] = []
    for name in _TYPES:
        tokens, cost, calls = (
            int(row[f"{name}_tokens"]),
            Decimal(row[f"{name}_cost"]),
            int(row[f"{name}_calls"]),
        )
        if tokens or cost:
            found.append(
                OurUsage(
                    day=row["day_"],
                    account=str(row["account_"]),
                    model=str(row["model_"]),
                    tier=tier_of(row["tier_"]) or "standard",
                    token_type=name,
                    tokens=tokens,
                    cost=cost,
                    calls=calls,
                    unpriced=int(row["unpriced_"]),
                )
            )
    return found
