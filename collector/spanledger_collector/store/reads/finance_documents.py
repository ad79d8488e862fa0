"""The project's documents that say how spend is shown: who bears what names nobody, and rates of currencies."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from spanledger_collector.store.registry.documents import SHARED, parse
from spanledger_collector.store.registry.finance import Allocation, Currency
from spanledger_collector.store.registry.registry import Registry

from .asking import Client


def allocations(client: Client, project: str) -> list[Allocation]:
    """The project's allocation rules, in the order in which they are tried."""
    rows = sorted(Registry(client).list([project], ["allocation"]), key=lambda row: row.name)
    found = [document for row in rows if isinstance(document := parse(row.kind, row.document), Allocation)]
    return sorted(found, key=lambda rule: rule.order)


def currencies(client: Client, project: str) -> list[str]:
    """The currencies that amounts can be shown in, US dollars first."""
    rows = Registry(client).list([SHARED, project], ["currency"])
    return ["USD", *sorted({row.name for row in rows})]


def rates(client: Client, project: str, currency: str) -> list[tuple[date, Decimal]]:
    """Units of the currency for one US dollar, each from a day on, ascending; empty for US dollars.

    Raises LookupError where the project has no document of that currency.
    """
    if currency in ("", "USD"):
        return []
    rows = Registry(client).list([SHARED, project], ["currency"])
    mine = [row for row in rows if row.name == currency]
    if not mine:
        raise LookupError(f"no document of kind currency is named {currency!r}")
    row = max(mine, key=lambda row: row.project == project)
    document = parse(row.kind, row.document)
    assert isinstance(document, Currency)
    return [(rate.from_, rate.per_usd) for rate in document.rates]
