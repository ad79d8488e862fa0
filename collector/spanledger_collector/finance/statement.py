"""A month's sums in; a team's statement as lines, unit costs and a comparison with the month before, out. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from spanledger_collector.finance.variance import Change
from spanledger_collector.store.reads.cells import neutral

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one team spent on one model of one provider for one kind of work; money in USD."""

    team: str
    category: str
    provider: str
    model: str
    calls: int
    unpriced: int
    tokens_in: int
    tokens_out: int
    cost: Decimal
    saved: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One feature or customer: its cost, and what a call, a conversation and a resolved answer cost; None where there is none."""

    group: str
    cost: Decimal
    calls: int
    conversations: int
    resolved: int | None

    @property
    def per_call(self) -> Decimal | None:
        """USD a call."""
        return self.cost / self.calls if self.calls else None

    @property
    def per_conversation(self) -> Decimal | None:
        """USD a conversation (session)."""
        return self.cost / self.conversations if self.conversations else None

    @property
    def per_resolved(self) -> Decimal | None:
        """USD an answer that the score calls resolved."""
        return self.cost / self.resolved if self.resolved else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A budget of the month beside what was spent under it."""

    name: str
    amount: Decimal
    spent: Decimal

    @property
    def left(self) -> Decimal:
        """USD not spent; negative beyond the budget."""
        return self.amount - self.spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A team's month (or with ``team`` None the project's). Closed, its figures were signed and stay."""

    project: str
    month: date
    team: str | None
    state: str
    signed_by: str
    cutoff: date | None
    lines: tuple[Line, ...]
    features: tuple[Unit, ...]
    customers: tuple[Unit, ...]
    budgets: tuple[Against, ...]
    change: Change
    differs: str = ""
    """Said where the ledger no longer tells what was signed; empty as it should be."""

    @property
    def cost(self) -> Decimal:
        """USD in all."""
        return sum((line.cost for line in self.lines), ZERO)

    @property
    def unpriced(self) -> int:
        """Calls whose cost is unknown and in no sum."""
        return sum(line.unpriced for line in self.lines)


COLUMNS = (
    "project", "month", "state", "team", "category", "provider", "model", "calls", "unpriced_calls", "tokens_in", "tokens_out",
    "cost_usd", "saved_usd",
)  # fmt: skip


def as_csv(statements: Iterable[Statement]) -> str:
    """All their lines as one CSV file, text neutralised for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for statement in statements:
        for line in statement.lines:
            cells: Sequence[object] = (
                statement.project, f"{statement.month:%Y-%m}", statement.state, line.team, line.category, line.provider,
                line.model, line.calls, line.unpriced, line.tokens_in, line.tokens_out, format(line.cost, "f"), format(line.saved, "f"),
            )  # fmt: skip
            # Money is our own text: a refund's minus sign is no formula.
            writer.writerow([*(neutral(cell) for cell in cells[:-2]), *cells[-2:]])
    return text.getvalue()
