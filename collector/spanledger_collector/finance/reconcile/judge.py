"""Cells in; for each a verdict and the causes that explain its difference, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from .causes import (
    Part,
    Tolerance,
    amount,
    by_ratio,
    cached_in_full,
    cached_in_full_within,
    gap,
    is_equal,
    same_tokens,
    variants,
)
from .cells import ZERO, Key, Pairing

REPORTED = frozenset({"standard", "batch", "flex"})
"""Tiers that every vendor's report has."""


@dataclass(slots=True)
class Judged:
    """A cell with what was found. ``parts`` add up to the difference, or there are none.

    ``open`` is the cell without the keys that we do not see, whose part ``seen`` holds.
    """

    cell: Pairing
    open: Pairing
    parts: list[Part] = field(default_factory=list[Part])
    seen: list[Part] = field(default_factory=list[Part])
    equal: bool = False
    keys: tuple[str, ...] = ()

    @property
    def difference(self) -> Decimal:
        """USD, theirs less ours."""
        return gap(self.cell)

    @property
    def is_open(self) -> bool:
        """Whether its difference still waits for a cause."""
        return not self.equal and not self.parts

    def explain(self, cause: str) -> None:
        """The whole rest has this cause."""
        self.parts = [*self.seen, (cause, gap(self.open))]


@dataclass(frozen=True, slots=True)
class Context:
    """What holds for the whole comparison."""

    tolerance: Tolerance
    money: bool
    told_days: frozenset[date]
    """Days on which the bill has usage."""
    our_days: frozenset[date]
    their_models: frozenset[str]
    our_models: frozenset[str]
    unreported: frozenset[str]
    untracked: frozenset[str] = frozenset()


def judge(cells: Mapping[Key, Pairing], context: Context) -> list[Judged]:
    """Every cell with its verdict, in order of their keys."""
    judged = {key: _first(cell, context) for key, cell in sorted(cells.items())}
    _cached(judged, context)
    _twice(judged)
    for found in judged.values():
        if found.is_open:
            _alone(found, context)
    _steady_prices(judged.values(), context.tolerance)
    return list(judged.values())


def untracked_keys(
    cells: Iterable[Pairing], context: Context, known: frozenset[str] | None
) -> frozenset[str]:
    """Keys of theirs whose calls we do not have.

    With ``known`` (our accounts) those that are none of them; else keys without which at least four of five of their
    cells agree, while with them at most one of five does.
    """
    own: dict[str, list[Pairing]] = defaultdict(list)
    for cell in cells:
        for key in cell.keys:
            own[key].append(cell)
    if known is not None:
        return frozenset(
            key for key, mine in own.items() if key and all(cell.key.account not in known for cell in mine)
        )
    found: set[str] = set()
    for key, mine in own.items():
        before = sum(_by_removal(cell, (), context) is not None for cell in mine)
        after = sum(_by_removal(cell, (key,), context) is not None for cell in mine)
        if key and len(mine) >= 2 and after * 5 >= 4 * len(mine) and before * 5 <= len(mine):
            found.add(key)
    return frozenset(found)


def _by_removal(cell: Pairing, keys: Sequence[str], context: Context) -> list[Part] | None:
    """The parts without which both sides agree; None when they never do. Empty: they agree as they are."""
    counted_only = _is_counted_only(cell, keys)
    for left, parts in variants(cell, context.unreported, keys):
        if counted_only and same_tokens(left):
            # Usage names the keys and the amounts beside it do not: what is too much is theirs.
            rest = [entry for entry in parts if entry[0] != "untracked_key"]
            return [("untracked_key", gap(cell) - sum((part for _, part in rest), ZERO)), *rest]
        if not counted_only and is_equal(left, context.tolerance, context.money):
            return parts
    return None


def _is_counted_only(cell: Pairing, keys: Sequence[str]) -> bool:
    told = bool(keys) and cell.theirs.amount is not None
    return told and all(cell.keys[key].amount is None for key in keys)


def _first(cell: Pairing, context: Context) -> Judged:
    keys = tuple(sorted(context.untracked & set(cell.keys)))
    left, seen = cell, list[Part]()
    if keys and not _is_counted_only(cell, keys):
        left, seen = next(variants(cell, frozenset(), keys))
    found = Judged(cell, left, seen=seen, keys=keys)
    if is_equal(cell, context.tolerance, context.money):
        found.equal = True
        return found
    day = cell.key.day
    if not cell.theirs.lines and day not in context.told_days:
        found.explain("missing_day")
    elif not cell.mine.lines and day not in context.our_days:
        found.explain("missing_day_ours")
    else:
        found.parts = _by_removal(cell, keys, context) or []
    return found


def _groups(judged: Mapping[Key, Judged]) -> Iterable[dict[str, Judged]]:
    groups: dict[Key, dict[str, Judged]] = defaultdict(dict)
    for key, found in judged.items():
        groups[key._replace(token_type="")][key.token_type] = found
    return groups.values()


def _cached(judged: Mapping[Key, Judged], context: Context) -> None:
    for group in _groups(judged):
        if cached_in_full({kind: found.open for kind, found in group.items()}, context.tolerance):
            for kind in ("input", "cache_read"):
                if group[kind].is_open:
                    group[kind].explain("cached_as_uncached")
        found = group.get("")
        if found and context.money and found.is_open and cached_in_full_within(found.open, context.tolerance):
            found.explain("cached_as_uncached")


def _twice(judged: Mapping[Key, Judged]) -> None:
    for group in _groups(judged):
        if all(found.is_open and _is_twice(found.open) for found in group.values()):
            for found in group.values():
                found.explain("counted_twice")


def _is_twice(cell: Pairing) -> bool:
    return bool(cell.theirs.tokens) and cell.mine.tokens == 2 * (cell.theirs.tokens or ZERO)


def _alone(found: Judged, context: Context) -> None:
    cell = found.open
    if cell.theirs.lines and cell.mine.lines:
        if context.money:
            _price(found, context)
    elif cell.theirs.lines and cell.key.model and cell.key.model not in context.our_models:
        found.explain("untracked_model")
    elif cell.mine.lines and cell.key.model and cell.key.model not in context.their_models:
        found.explain("not_on_bill")


def _price(found: Judged, context: Context) -> None:
    """Another price, also of a cell from which something else must be taken first."""
    for left, parts in variants(found.open, context.unreported):
        cause = by_ratio(left, context.tolerance)
        if cause:
            found.parts = [*found.seen, *parts, (cause, gap(left))]
            return


def _steady_prices(judged: Iterable[Judged], tolerance: Tolerance) -> None:
    """Name a price where the bill tells no tokens: one model's cells differ by one and the same ratio on three days."""
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for found in judged:
        both = amount(found.open.mine) > 0 and amount(found.open.theirs) > 0
        if found.is_open and both and found.open.theirs.tokens is None:
            groups[found.cell.key.model, found.cell.key.token_type].append(found)
    for cells in groups.values():
        fits = list(filter(_close_to(_pooled(cells), tolerance), cells))
        if len({found.cell.key.day for found in fits}) >= 3 and len(fits) * 5 >= 4 * len(cells):
            for found in fits:
                found.explain("price")


def _pooled(cells: Sequence[Judged]) -> Decimal:
    mine = sum((amount(found.open.mine) for found in cells), ZERO)
    return sum((amount(found.open.theirs) for found in cells), ZERO) / mine


def _close_to(ratio: Decimal, tolerance: Tolerance) -> Callable[[Judged], bool]:
    def close(found: Judged) -> bool:
        theirs = amount(found.open.theirs)
        room = 2 * tolerance.rounding(found.open) + theirs * Decimal("0.0005")
        return abs(theirs - ratio * amount(found.open.mine)) <= room

    return close
