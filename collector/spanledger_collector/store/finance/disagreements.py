"""Where our price of a model and a second source's disagree, on the tokens that were really used."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spanledger.prices import PriceTable
from spanledger.serving.usage import Usage
from spanledger_collector.finance import second_prices
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import Row, ask
from spanledger_collector.store.reads.spend import MODEL
from spanledger_collector.store.reads.window import IN_SPANS, Window

from .dims import BUCKETS

TOLERANCE = Decimal("0.005")
"""Shares of the greater figure within which two costs agree."""

# One call of each model stands for the rates: the dearest, so that rounding is small beside it.
_MODELS = f"""
SELECT provider, {MODEL} AS name, count() AS calls, toUnixTimestamp64Nano(max(start_time)) AS at,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost, countIf(cost_reported IS NOT NULL AND cost_total IS NOT NULL) AS told,
    sumIf(toDecimal128(ifNull(cost_reported, 0), 9), cost_total IS NOT NULL) AS reported,
    sumIf(toDecimal128(ifNull(cost_total, 0), 9), cost_reported IS NOT NULL) AS of_those,
    {", ".join(f"argMax(tuple({name}), ifNull(input_tokens, 0) + ifNull(output_tokens, 0)).1 AS most_{name}" for name in BUCKETS)}
FROM spans WHERE project = {{project:String}} AND {IN_SPANS} AND billable AND cache NOT IN ('exact', 'semantic')
    AND service_tier IN ('', 'auto', 'default', 'standard') AND gpu_pool = ''
GROUP BY provider, name HAVING name != '' ORDER BY cost DESC LIMIT 1000
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two figures in US dollars for the same tokens. ``what``: all calls that told a cost, or one call's tokens.

    ``source``: ``reported`` (the provider's or instrumentation's own figure) or ``litellm``. None: unknown there.
    """

    provider: str
    model: str
    what: str
    source: str
    ours: Decimal | None
    theirs: Decimal | None
    calls: int


def disagreements(client: Client, project: str, window: Window, table: PriceTable) -> list[Disagreement]:
    """Every model of the window whose cost by us and by a second source differ by more than ``TOLERANCE``."""
    second = second_prices.litellm_table()
    found: list[Disagreement] = []
    for row in ask(client, _MODELS, {"project": project, **window.bound()}):
        provider, model, calls = str(row["provider"]), str(row["name"]), int(row["calls"])
        told, ours_told, theirs_told = int(row["told"]), Decimal(row["of_those"]), Decimal(row["reported"])
        if told and not _agree(ours_told, theirs_told):
            found.append(
                Disagreement(provider=provider, model=model, what="calls that told a cost", source="reported",
                             ours=ours_told, theirs=theirs_told, calls=told)
            )  # fmt: skip
        usage = _usage(row)
        ours = table.cost(usage, provider, model, int(row["at"]))
        theirs = second_prices.cost(second, usage, provider, model)
        if theirs is not None and not _agree(None if ours is None else ours.total, theirs):
            found.append(
                Disagreement(provider=provider, model=model, what="the largest call", source=second_prices.LITELLM,
                             ours=None if ours is None else ours.total, theirs=theirs, calls=calls)
            )  # fmt: skip
    return found


def _agree(ours: Decimal | None, theirs: Decimal) -> bool:
    if ours is None:
        return False
    return abs(ours - theirs) <= TOLERANCE * max(abs(ours), abs(theirs)) + Decimal("1e-8")


def _usage(row: Row) -> Usage:
    return Usage(**{name: row[f"most_{name}"] for name in BUCKETS})
