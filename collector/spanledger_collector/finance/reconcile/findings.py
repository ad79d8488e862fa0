"""Judged cells in; what a page shows of each, and findings that name a cause for many, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from spanledger_collector.finance.bills import BillLine

from .causes import CAUSES, amount
from .cells import ZERO
from .judge import REPORTED, Judged

Verdict = Literal["matched", "explained", "ours_only", "theirs_only", "unexplained"]

_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One day, account, model, tier and token type on both sides; money in USD, ``theirs`` None where untold."""

    day: date
    account: str
    model: str
    tier: str
    token_type: str
    our_tokens: int
    their_tokens: int | None
    ours: Decimal
    theirs: Decimal | None
    verdict: Verdict
    cause: str
    difference: Decimal
    matched: Decimal
    lines: tuple[int, ...]
    """Where the bill says it: the first lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause and what it explains: ``amount`` is theirs less ours in USD, from ``first`` to ``last`` (the vendor's days)."""

    cause: str
    subject: str
    amount: Decimal
    first: date
    last: date
    models: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    cells: int = 0
    lines: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The cause in words."""
        return CAUSES[self.cause][0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return CAUSES[self.cause][1]

    @classmethod
    def of(cls, cause: str, subject: str, total: Decimal, judged: Sequence[Judged]) -> Finding:
        """A finding about some cells, at least one."""
        keys = [found.cell.key for found in judged]
        return cls(
            cause=cause,
            subject=subject,
            amount=total,
            first=min(key.day for key in keys),
            last=max(key.day for key in keys),
            models=tuple(sorted({key.model for key in keys if key.model})),
            accounts=tuple(sorted({key.account for key in keys if key.account})),
            cells=len(judged),
            lines=tuple(
                sorted({line for found in judged for line in found.cell.source_lines})[:_LINES_SHOWN]
            ),
        )


def cell_of(found: Judged) -> Cell:
    """A judged cell as a page shows it."""
    cell, key = found.cell, found.cell.key
    mine, theirs = amount(cell.mine), amount(cell.theirs)
    return Cell(
        day=key.day,
        account=key.account,
        model=key.model,
        tier=key.tier,
        token_type=key.token_type,
        our_tokens=int(cell.mine.tokens or 0),
        their_tokens=None if cell.theirs.tokens is None else int(cell.theirs.tokens),
        ours=mine,
        theirs=cell.theirs.amount,
        verdict=_verdict(found),
        cause=found.parts[0][0] if found.parts else "",
        difference=theirs - mine,
        matched=_matched(found, mine, theirs),
        lines=tuple(sorted(cell.source_lines)[:_LINES_SHOWN]),
    )


def _matched(found: Judged, mine: Decimal, theirs: Decimal) -> Decimal:
    """What both sides agree on, so that the parts of the totals add up to both of them."""
    verdict = _verdict(found)
    if verdict == "matched":
        return mine
    return ZERO if verdict in ("ours_only", "theirs_only") else min(mine, theirs)


def _verdict(found: Judged) -> Verdict:
    if found.equal:
        return "matched"
    if not found.cell.theirs.lines:
        return "ours_only"
    if not found.cell.mine.lines:
        return "theirs_only"
    return "explained" if found.parts else "unexplained"


_Subject = Callable[[Judged], tuple[str, ...]]
_BY_MODEL: _Subject = lambda found: (found.cell.key.model or "all models",)  # noqa: E731
_SUBJECTS: dict[str, _Subject] = {
    "untracked_key": lambda found: found.keys,
    "duplicate": lambda found: ("lines of the bill",),
    "missing_day": lambda found: ("the bill",),
    "missing_day_ours": lambda found: ("our ledger",),
    "priority_tier": lambda found: tuple(sorted(set(found.cell.tiers) - REPORTED)),
}


def findings_of(judged: Sequence[Judged], *, rounded: bool) -> list[Finding]:
    """One finding a cause and what it is about, and one for all rounding where the bill is coarse."""
    groups: dict[tuple[str, str], list[tuple[Judged, Decimal]]] = defaultdict(list)
    for found in judged:
        for cause, part in found.parts:
            subjects = _SUBJECTS.get(cause, _BY_MODEL)(found)
            groups[cause, ", ".join(subjects)].append((found, part))
    named = [
        Finding.of(cause, subject, sum((part for _, part in entries), ZERO), [found for found, _ in entries])
        for (cause, subject), entries in groups.items()
    ]
    off = [found for found in judged if found.equal and abs(found.difference) > Decimal("0.00001")]
    if rounded and off:
        total = sum((found.difference for found in off), ZERO)
        named.append(Finding.of("rounding", "every line of the bill", total, off))
    return named


def other_findings(lines: Iterable[BillLine]) -> list[Finding]:
    """Credits, taxes and services: one finding for each kind and description."""
    groups: dict[tuple[str, str], list[BillLine]] = defaultdict(list)
    for line in lines:
        groups[line.kind, line.description or line.kind].append(line)
    return [
        Finding(
            cause=kind,
            subject=description[:200],
            amount=sum((line.amount or ZERO for line in mine), ZERO),
            first=min(line.day for line in mine),
            last=max(line.day for line in mine),
            cells=len(mine),
            lines=tuple(line.line for line in mine[:_LINES_SHOWN]),
        )
        for (kind, description), mine in groups.items()
    ]
