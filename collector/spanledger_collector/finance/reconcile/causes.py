"""Why two sums differ: the names of causes, and the hypotheses that a cell's figures are tested against.

A hypothesis is believed only when it leaves nothing over: the difference must be explained to the last token, or to the
rounding of the bill. What no hypothesis explains stays unexplained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from .cells import ZERO, Pairing, Side

CAUSES: Mapping[str, tuple[str, str]] = {
    "price": ("Another price", "Compare the rate with the contract; write the right one as a price document and re-price."),
    "batch_discount": ("Batch discount", "The vendor billed half: these calls went through its batch API. Record service_tier=batch."),
    "cached_as_uncached": ("Cached tokens billed as uncached", "The vendor charged prompt-cache reads in full: ask for a refund, or check that caching was on."),
    "untracked_key": ("A key that we do not see", "Calls with this key bypass Spanledger: trace them, or revoke the key."),
    "time_zone": ("Days cut in another time zone", "Set time_zone of the invoice source."),
    "priority_tier": ("A tier missing from the report", "The vendor's report leaves this tier out: take its cost from the invoice."),
    "duplicate": ("Told twice by the bill", "The same lines stand in the file, or in two files of the period, more than once."),
    "counted_twice": ("Told twice by us", "Two tellings of one call were billed: look at the calls' traces."),
    "missing_day": ("A day missing from the bill", "Export the day again: vendors report it late."),
    "missing_day_ours": ("A day missing from our ledger", "Nothing arrived on that day: look for an outage of the collector or the SDK."),
    "rounding": ("Rounding", "The bill rounds its lines."),
    "currency": ("Another currency", "Write its rates by day as a document of kind currency, or as rates of the invoice source."),
    "model_alias": ("Another name of the model", "Name it in models of the invoice source."),
    "credit": ("Credit or refund", "Money given back: accept it as an adjustment."),
    "tax": ("Tax", "Not a cost of calls: accept it as an adjustment, or leave it out of the file."),
    "service": ("Not a model call", "Billed beside tokens (web search, storage, sessions): accept it as an adjustment."),
    "unpriced": ("Calls without a price here", "Write a price document for the model and re-price."),
    "untracked_model": ("A model that we do not see", "Calls of this model bypass Spanledger: trace them."),
    "unexplained": ("Without a cause", "Look at the calls behind the largest days; accept the rest as an adjustment."),
    "not_on_bill": ("A model that the bill does not name", "Billed elsewhere, or served by somebody else: check the provider of these calls."),
}  # fmt: skip
"""Title and advice for each cause."""

HALF = Decimal("0.5")
_RATIO = Decimal("0.000001")
_NANO = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two sums may lie apart and be equal. ``unit`` is half the last digit of the bill's amounts in USD."""

    unit: Decimal
    rounded: bool
    """Whether the bill is coarse enough (four digits or less) that its rounding deserves a name."""
    relative: Decimal
    fixed: Decimal

    def exact(self, cell: Pairing) -> Decimal:
        """What both sides' own arithmetic may leave: nine digits a call here, floating point there."""
        calls = cell.mine.lines + cell.theirs.lines
        return calls * _NANO + abs(cell.theirs.amount or ZERO) * (self.relative or _NANO) + self.fixed

    def rounding(self, cell: Pairing) -> Decimal:
        """The same with the rounding of every line of the bill."""
        return self.exact(cell) + cell.theirs.lines * self.unit


Part = tuple[str, Decimal]
"""A cause and the difference in USD (theirs less ours) that it explains."""


def amount(side: Side) -> Decimal:
    """A side's money, 0 where there is none."""
    return side.amount or ZERO


def gap(cell: Pairing) -> Decimal:
    """USD, theirs less ours."""
    return amount(cell.theirs) - amount(cell.mine)


def same_tokens(cell: Pairing) -> bool | None:
    """Whether both sides counted the same; None when the bill tells no tokens."""
    if cell.theirs.tokens is None:
        return None
    return (cell.mine.tokens or ZERO) == cell.theirs.tokens


def is_equal(cell: Pairing, tolerance: Tolerance, money: bool) -> bool:
    """Whether both sides of a cell agree: in money and tokens, or in what the bill tells of the two."""
    if money:
        return abs(gap(cell)) <= tolerance.rounding(cell) and same_tokens(cell) is not False
    return (cell.theirs.tokens or ZERO) == (cell.mine.tokens or ZERO)


def variants(
    cell: Pairing, unreported: frozenset[str], keys: Sequence[str] = ()
) -> Iterator[tuple[Pairing, list[Part]]]:
    """The cell with parts taken away that one side may not have, fewest first, and what each taking explains.

    ``keys`` of theirs are taken away always; the other parts are lines told twice, and tiers that a bill leaves out.
    """
    theirs, always = cell.theirs, list[Part]()
    for key in keys:
        theirs = theirs.without(cell.keys[key])
    if keys:
        always = [("untracked_key", amount(cell.theirs) - amount(theirs))]
    lost = _sum(side for tier, side in cell.tiers.items() if tier in unreported)
    again = _sum(side for key, side in cell.repeated.items() if key not in keys)
    for with_again, with_lost in ((False, False), (True, False), (False, True), (True, True)):
        if (with_again and not again.lines) or (with_lost and not lost.lines):
            continue
        parts: list[Part] = [("duplicate", amount(again))] if with_again else []
        parts += [("priority_tier", -amount(lost))] if with_lost else []
        left = replace(
            cell,
            mine=cell.mine.without(lost) if with_lost else cell.mine,
            theirs=theirs.without(again) if with_again else theirs,
        )
        yield left, always + parts


def _sum(sides: Iterable[Side]) -> Side:
    whole = Side()
    for side in sides:
        whole.add(side.tokens, side.amount, side.lines)
    return whole


def by_ratio(cell: Pairing, tolerance: Tolerance) -> str:
    """The cause when both sides counted the same tokens and charged differently; empty for none."""
    counted = same_tokens(cell)
    mine, theirs = amount(cell.mine), amount(cell.theirs)
    if counted is False or cell.theirs.amount is None:
        return ""
    if counted and cell.unpriced:
        return "unpriced"
    if mine <= 0 or theirs <= 0:
        return "price" if counted and cell.theirs.tokens else ""
    if abs(theirs - mine * HALF) <= tolerance.rounding(cell) + mine * _RATIO:
        return "batch_discount"
    return "price" if counted else ""


def cached_in_full(cells: Mapping[str, Pairing], tolerance: Tolerance) -> bool:
    """Whether a group of cells (one a token type) differs by cache reads charged as plain input."""
    fresh, cached = cells.get("input"), cells.get("cache_read")
    if fresh is None or cached is None or not cached.mine.tokens or not fresh.mine.tokens:
        return False
    if cached.theirs.tokens or amount(cached.theirs):
        return False
    together = fresh.mine.tokens + cached.mine.tokens
    if fresh.theirs.tokens is not None:
        return fresh.theirs.tokens == together
    full = amount(fresh.mine) / fresh.mine.tokens * together
    return abs(amount(fresh.theirs) - full) <= tolerance.rounding(fresh) + full * _RATIO


def cached_in_full_within(cell: Pairing, tolerance: Tolerance) -> bool:
    """The same for a bill that tells no token types: the difference is what the reads would have cost in full."""
    fresh, cached = cell.types.get("input"), cell.types.get("cache_read")
    if same_tokens(cell) is False:
        return False
    if fresh is None or cached is None or not fresh.tokens or not cached.tokens:
        return False
    extra = amount(fresh) / fresh.tokens * cached.tokens - amount(cached)
    return extra > 0 and abs(gap(cell) - extra) <= tolerance.rounding(cell) + extra * _RATIO
