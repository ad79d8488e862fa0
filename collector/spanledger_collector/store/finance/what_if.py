"""A window's traffic and where else it could run in; what it cost and would have cost out: for the API and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from spanledger.prices import Rates
from spanledger_collector.finance import what_if
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads import ledger
from spanledger_collector.store.reads.token_mix import token_mix
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.price_tables import price_tables, table_of
from spanledger_collector.store.registry.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The traffic, its cost in the ledger, and its cost elsewhere (USD; None: unknown, or not asked)."""

    calls: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_now: Decimal
    cost_on_model: Decimal | None
    pool: what_if.OnPool | None


def answer(
    client: Client,
    project: str,
    window: Window,
    only: Mapping[str, str],
    *,
    provider: str = "",
    model: str = "",
    size: what_if.Size | None = None,
) -> Answer:
    """Price the calls of the window that no cache answered on a model, on a pool, or on both.

    Raises LookupError when nobody knows the model's price.
    """
    rates = _rates(client, project, provider, model, window.end - 1) if model else None
    mix = token_mix(client, project, window, only, what_if.thresholds(rates) if rates else ())
    booked = ledger.sums(client, project, window, which=ledger.Ask(only=only))
    now = booked[0].cost if booked else Decimal(0)
    hours = Decimal(window.length) / Decimal(3600 * 10**9)
    return Answer(
        calls=sum(part.calls for part in mix),
        unpriced=booked[0].unpriced if booked else 0,
        input_tokens=sum(part.usage.input_total or 0 for part in mix),
        output_tokens=sum(part.usage.output_total or 0 for part in mix),
        cost_now=now,
        cost_on_model=what_if.on_model(mix, rates) if rates else None,
        pool=what_if.on_pool(mix, size, hours, now) if size and mix else None,
    )


def _rates(client: Client, project: str, provider: str, model: str, at: int) -> Rates:
    tables = price_tables(Registry(client).list([project, SHARED], ["price"]))
    rates = table_of(tables, project).rates(provider, model, at)
    if rates is None:
        whose = provider or "any provider"
        raise LookupError(f"no price of {whose}'s {model!r} is known: name both, or add a price document")
    return rates
