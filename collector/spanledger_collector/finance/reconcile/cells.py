"""Lines of a bill and our sums in; one cell for each day, account, model, tier and token type that both can tell, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from spanledger_collector.finance.bills import BillLine

from .ours import OurUsage

ZERO = Decimal(0)


class Key(NamedTuple):
    """Where a cell stands. What the bill does not tell is empty in every key."""

    day: date
    account: str = ""
    model: str = ""
    tier: str = ""
    token_type: str = ""


@dataclass(slots=True)
class Side:
    """Sums of one side of a cell; ``tokens`` and ``amount`` are None where it tells none."""

    tokens: Decimal | None = None
    amount: Decimal | None = None
    lines: int = 0
    """Lines of the bill, or calls of ours."""

    def add(self, tokens: Decimal | None, amount: Decimal | None, lines: int) -> None:
        """Add to the sums."""
        if tokens is not None:
            self.tokens = (self.tokens or ZERO) + tokens
        if amount is not None:
            self.amount = (self.amount or ZERO) + amount
        self.lines += lines

    def without(self, other: Side) -> Side:
        """What remains when some of it is taken away."""
        return Side(
            None if self.tokens is None else self.tokens - (other.tokens or ZERO),
            None if self.amount is None else self.amount - (other.amount or ZERO),
            self.lines - other.lines,
        )


@dataclass(slots=True)
class Pairing:
    """Both sides of one cell, and the parts of them that a hypothesis may take away."""

    key: Key
    mine: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    tiers: dict[str, Side] = field(default_factory=lambda: defaultdict(Side))
    """Our own sums by service tier."""
    types: dict[str, Side] = field(default_factory=lambda: defaultdict(Side))
    """Our own sums by token type."""
    keys: dict[str, Side] = field(default_factory=lambda: defaultdict(Side))
    """Theirs by their key, or by their account where they tell no key."""
    repeated: dict[str, Side] = field(default_factory=lambda: defaultdict(Side))
    """Theirs by the same keys: lines that stand in the bill more than once, the first of each left out."""
    unpriced: int = 0
    currencies: set[str] = field(default_factory=set[str])
    source_lines: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True)
class Grain:
    """Which dimensions cells are told apart by, and whether money or only tokens are compared."""

    account: bool
    model: bool
    tiers: frozenset[str]
    """Service tiers that the bill names; empty where it names none. Calls of other tiers count as standard."""
    token_type: bool
    money: bool

    def key(self, day: date, account: str, model: str, tier: str, token_type: str) -> Key:
        """The key of a line or sum."""
        return Key(
            day,
            account if self.account else "",
            model if self.model else "",
            (tier if tier in self.tiers else "standard") if self.tiers else "",
            token_type if self.token_type else "",
        )


def grain_of(lines: Sequence[BillLine], accounts: bool) -> Grain:
    """The finest cells that the bill's amounts (or, without any, its tokens) allow."""
    priced = [line for line in lines if line.amount is not None]
    counted = priced or lines
    return Grain(
        account=accounts and any(line.account or line.key for line in counted),
        model=all(line.model for line in counted),
        tiers=frozenset(line.tier for line in counted if line.tier),
        token_type=all(line.token_type for line in counted),
        money=bool(priced),
    )


def repeated(lines: Sequence[BillLine]) -> set[int]:
    """Positions of lines that say again, in every field, what an earlier one said."""
    seen: set[tuple[object, ...]] = set()
    again: set[int] = set()
    for at, line in enumerate(lines):
        said = (
            line.day, line.account, line.key, line.model, line.tier, line.token_type, line.tokens, line.amount,
            line.currency, line.description, line.span,
        )  # fmt: skip
        if said in seen:
            again.add(at)
        seen.add(said)
    return again


def pairings(
    lines: Sequence[BillLine],
    ours: Iterable[OurUsage],
    grain: Grain,
    models: Mapping[str, str],
    accounts: Mapping[str, str],
) -> dict[Key, Pairing]:
    """Every cell that either side has. Vendor's names are replaced by ours; money is in USD already."""
    cells: dict[Key, Pairing] = {}
    again = repeated(lines)
    for at, line in enumerate(lines):
        account = accounts.get(line.account, accounts.get(line.key, line.account or line.key))
        key = grain.key(line.day, account, models.get(line.model, line.model), line.tier, line.token_type)
        if (grain.model and not line.model) or (grain.token_type and not line.token_type):
            continue  # a line of tokens that says less than the amounts do
        _add_line(cells.setdefault(key, Pairing(key)), line, at in again)
    for usage in ours:
        key = grain.key(usage.day, usage.account, usage.model, usage.tier, usage.token_type)
        cell = cells.setdefault(key, Pairing(key))
        cell.mine.add(Decimal(usage.tokens), usage.cost, usage.calls)
        cell.tiers[usage.tier].add(Decimal(usage.tokens), usage.cost, usage.calls)
        cell.types[usage.token_type].add(Decimal(usage.tokens), usage.cost, usage.calls)
        cell.unpriced += usage.unpriced
    return cells


def _add_line(cell: Pairing, line: BillLine, again: bool) -> None:
    cell.theirs.add(line.tokens, line.amount, 1)
    cell.keys[line.key or line.account].add(line.tokens, line.amount, 1)
    if again:
        cell.repeated[line.key or line.account].add(line.tokens, line.amount, 1)
    cell.source_lines.append(line.line)
    if line.amount is not None:
        cell.currencies.add(line.currency)
