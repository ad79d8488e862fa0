"""The currency that a page shows its amounts in: a parameter of the address, one of the project's documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import finance_documents as documents

from .figures.frame import Unit, money_unit
from .here import read
from .parts import filters
from .text import money
from .view import View

USD = "USD"


@dataclass(frozen=True, slots=True)
class Cash:
    """Amounts of one currency as text; ``rates`` as `ledger.sums` takes them, ``choices`` all that the project has."""

    currency: str = USD
    rates: Sequence[tuple[date, Decimal]] = ()
    choices: Sequence[str] = (USD,)

    def text(self, amount: Decimal | None) -> str:
        """An amount, short."""
        return money(amount, self.currency)

    def exact(self, amount: Decimal | None) -> str:
        """An amount with every digit the ledger holds (nine after the point)."""
        return money(amount, self.currency, digits=9)

    def shown(self, amount: Decimal | None) -> Component:
        """An amount, short, with every digit where it is pointed at."""
        return html.Span(self.text(amount), title=self.exact(amount))

    def unit(self, values: Sequence[float | None]) -> Unit:
        """The unit of an axis."""
        return money_unit(values, self.currency)

    def controls(self, view: View) -> list[Component]:
        """The choice of another currency, where the project has one."""
        if len(self.choices) < 2:
            return []
        return [filters.select(view, "currency", "Currency", list(self.choices), USD)]


async def cash(view: View) -> Cash:
    """The currency of the address; US dollars for one that the project has no document of."""
    choices = await read(view, documents.currencies)
    wanted = view.get("currency", USD)
    if wanted == USD or wanted not in choices:
        return Cash(choices=choices)
    return Cash(wanted, await read(view, documents.rates, wanted), choices)
