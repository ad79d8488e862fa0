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
from .vendor_rows import SLOT_MINUTES, VendorRows, vendor_rows
from .window import Window

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
        self._client, self._project, self._account = client, project, account
        start = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
        end = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=2)
        self._window = Window(int(start.timestamp()) * 10**9, int(end.timestamp()) * 10**9)
        self._bound: dict[str, object] = {"project": project, **self._window.bound()}
        self._providers = list(providers)
        if providers:
            self._bound["providers"] = self._providers

    def days(self, zone: tzinfo) -> list[OurUsage]:
        """Sums by days of a zone."""
        rows = self._rows(zone)
        account = f"{rows.table}.{self._account}" if self._account else "''"
        sums = [f"{rows.unpriced} AS unpriced_", f"{rows.calls} AS calls_"]
        for name, (tokens, costs) in _TYPES.items():
            sums += [
                f"{rows.tokens(tokens)} AS {name}_tokens_",
                f"{rows.cost(costs)} AS {name}_cost_",
                f"{rows.calls_with(name, tokens)} AS {name}_calls_",
            ]
        sql = statement(
            f"SELECT {_day(rows.time, zone)} AS day_, {account} AS account_, {rows.model} AS model_,",
            f"service_tier AS tier_, {', '.join(sums)} FROM {rows.table} {rows.joined} WHERE",
            every(self._where(rows)),
            "GROUP BY day_, account_, model_, tier_ ORDER BY day_, model_",
        )
        answer = ask(self._client, sql, self._bound | _shift(zone), _LARGEST)
        return [usage for row in answer for usage in _usage(row)]

    def hours(self) -> list[HourUsage]:
        """Sums by half hours."""
        rows = self._rows(UTC)
        columns = [column for tokens, _ in _TYPES.values() for column in tokens]
        sql = statement(
            f"SELECT toUnixTimestamp(toStartOfInterval({rows.time}, INTERVAL 30 MINUTE, 'UTC')) AS at,",
            f"{rows.model} AS model_, {rows.tokens(columns)} AS tokens_,",
            f"{rows.cost(['cost_total'], 'new_cost')} AS cost_ FROM {rows.table} {rows.joined} WHERE",
            every(self._where(rows)),
            "GROUP BY at, model_",
        )
        return [
            HourUsage(datetime.fromtimestamp(int(row["at"]), UTC), str(row["model_"]), int(row["tokens_"]), Decimal(row["cost_"]))
            for row in ask(self._client, sql, self._bound, _LARGEST)
        ]  # fmt: skip

    def _rows(self, zone: tzinfo) -> VendorRows:
        fits = hasattr(zone, "key") or _offset(zone) % SLOT_MINUTES == 0
        return vendor_rows(self._client, self._project, self._window, self._providers, fits=fits)

    def _where(self, rows: VendorRows) -> list[str]:
        return [*rows.where, *(["provider IN {providers:Array(String)}"] if self._providers else [])]


def _day(time: str, zone: tzinfo) -> str:
    if hasattr(zone, "key"):
        return f"toDate({time}, {{zone:String}})"
    return f"toDate(addMinutes({time}, {{shift:Int32}}), 'UTC')"


def _offset(zone: tzinfo) -> int:
    """Minutes that a fixed zone is ahead of UTC."""
    ahead = datetime(2000, 1, 1, tzinfo=zone).utcoffset() or timedelta()
    return int(ahead.total_seconds() // 60)


def _shift(zone: tzinfo) -> dict[str, Any]:
    key = getattr(zone, "key", None)
    return {"zone": key} if key else {"shift": _offset(zone)}


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
            int(row[f"{name}_tokens_"]),
            Decimal(row[f"{name}_cost_"]),
            int(row[f"{name}_calls_"]),
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
