"""A window and filters in; its calls priced anew by the documents as they stand, old figures kept, out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from spanledger.prices import PriceTable
from spanledger_collector.finance.repricing import repriced
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.months import months
from spanledger_collector.store.reads.window import Window

from .adjustments import Adjustment, book
from .repricing import priced_calls, to_book, write


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be priced anew, by whom and why; ``run`` names the run in every row."""

    run: str
    project: str
    window: Window
    provider: str = ""
    model: str = ""
    author: str = ""
    note: str = ""


@dataclass(slots=True)
class Outcome:
    """What a run found: calls looked at and changed, the change in US dollars, and what closed months were booked."""

    calls: int = 0
    changed: int = 0
    difference: Decimal = Decimal(0)
    booked: Decimal = Decimal(0)
    closed_months: list[str] = field(default_factory=list[str])


def reprice(
    client: Client, wanted: Wanted, table: PriceTable, clock_ms: Callable[[], int], *, dry_run: bool = False
) -> Outcome:
    """Price the window's calls by ``table``; write what changes, unless it is a dry run.

    Running it again, or after a crash, finds what is left. Changes of closed months are booked as adjustments.
    """
    outcome = Outcome()
    for page in priced_calls(client, wanted.project, wanted.window, wanted.provider, wanted.model):
        changes = [change for call in page if (change := repriced(call, table)) is not None]
        outcome.calls += len(page)
        outcome.changed += len(changes)
        outcome.difference += sum(
            ((change.cost or 0) - (change.call.cost or 0) for change in changes), Decimal(0)
        )
        if changes and not dry_run:
            write(client, wanted.project, wanted.run, changes, clock_ms(), wanted.author, wanted.note)
    if not dry_run and outcome.changed:
        _book_closed(client, wanted, outcome)
    return outcome


def _book_closed(client: Client, wanted: Wanted, outcome: Outcome) -> None:
    for month in months(client, wanted.project):
        entries = [
            Adjustment(
                project=wanted.project,
                day=date.fromordinal(month.after.toordinal() - 1),
                kind="reprice",
                cost=booking.amount,
                reason=wanted.note or "calls were priced anew",
                author=wanted.author,
                identity=f"{wanted.run} {sorted(booking.dims.items())}",
                category=booking.dims["category"],  # so that month close finds it booked
                organisation=booking.dims["organisation"],
                group={
                    name: value
                    for name, value in booking.dims.items()
                    if name not in ("category", "organisation")
                },
                evidence=json.dumps({"repricing_id": wanted.run, "calls": booking.calls}),
            )
            for booking in to_book(client, wanted.project, wanted.run, month)
        ]
        if entries:
            book(client, entries)
            outcome.booked += sum((entry.cost for entry in entries), Decimal(0))
            outcome.closed_months.append(f"{month.first:%Y-%m}")
