"""Lines of a bill, our ledger and what is known of the vendor in; the reconciliation of a period out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from decimal import Decimal
from typing import Literal

from spanledger_collector.finance.bills import BillLine, Source

from . import names, zones
from .causes import CAUSES, Tolerance, amount
from .cells import ZERO, Grain, Pairing, grain_of, pairings
from .currency import Converted, Dated, to_usd
from .findings import Cell, Finding, Verdict, cell_of, findings_of, other_findings
from .judge import REPORTED, Context, Judged, judge, untracked_keys
from .ours import Ours, OurUsage

__all__ = ["CAUSES", "Cell", "Finding", "Report", "Totals", "Verdict", "reconcile"]

_COARSE = 4  # digits after the point up to which a bill's rounding is worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """USD. ``theirs - ours = theirs_only - ours_only + explained + unexplained + rounding``, exactly.

    ``matched`` is what both sides agree on, of cells that differ the smaller side. ``explained`` and ``unexplained``
    are differences of cells that both sides have; ``without_cause`` adds up the sizes of all differences nobody named.
    """

    theirs: Decimal
    ours: Decimal
    matched: Decimal
    ours_only: Decimal
    theirs_only: Decimal
    explained: Decimal
    unexplained: Decimal
    rounding: Decimal
    without_cause: Decimal

    def share(self, value: Decimal) -> float:
        """A part of the greater of both totals, 0 to 1."""
        whole = max(abs(self.theirs), abs(self.ours))
        return float(abs(value) / whole) if whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. ``cells`` are all cells, in order of day; ``findings`` the dearest first."""

    since: date
    until: date
    time_zone: str
    totals: Totals
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    estimated: bool
    """Whether the bill tells tokens only, so that its money is ours for those tokens."""
    rates: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])

    def by(
        self, name: Literal["day", "model", "account", "token_type"]
    ) -> list[tuple[str, dict[Verdict, Decimal]]]:
        """Sizes of differences and matched money by one dimension and verdict."""
        sums: dict[str, dict[Verdict, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for cell in self.cells:
            group = sums[str(getattr(cell, name))]
            group["matched"] += cell.matched
            if cell.verdict != "matched":
                group[cell.verdict] += abs(cell.difference)
        return sorted((key, dict(value)) for key, value in sums.items())


def reconcile(
    lines: Sequence[BillLine],
    ours: Ours,
    source: Source,
    *,
    decimals: int = 9,
    since: date | None = None,
    until: date | None = None,
    dated: Dated | None = None,
) -> Report:
    """Compare a bill with our ledger.

    ``decimals`` are those of the bill's amounts. ``since`` and ``until`` (inclusive) are the vendor's days to compare;
    by default those that the bill has. ``dated`` are rates for currencies that the source gives none for. Raises
    ValueError for a bill without lines.
    """
    if not lines:
        raise ValueError("a bill without lines cannot be compared")
    first, last = since or min(line.day for line in lines), until or max(line.day for line in lines)
    kept = [line for line in lines if first <= line.day <= last]
    usage = [line for line in kept if line.kind == "usage"]
    declared = _within(ours.days(source.zone), first, last)
    paired = names.pair(_our_series(declared), _their_series(usage), source.models)
    renamed = [replace(line, model=paired.get(line.model, (line.model, False))[0]) for line in usage]
    zone = _shifted(renamed, ours, source.zone)
    mine = declared if zone is None else _within(ours.days(zone), first, last)
    converted = to_usd(renamed, source.rates, _cost_by(mine), dated)
    judged, grain = _judged(converted, mine, source, decimals)
    rest = [line for line in kept if line.kind != "usage"]
    implied = {currency: converted.rates[currency] for currency in converted.implied}
    others = to_usd(rest, {**source.rates, **implied}, {}, dated).lines
    cells = tuple(cell_of(found) for found in judged)
    found = [
        *findings_of(judged, rounded=decimals <= _COARSE),
        *other_findings(others),
        *_aliases(paired, judged),
        *_zone_finding(zone, source.zone, mine, declared, (first, last)),
        *_currency_findings(renamed, converted),
    ]
    return Report(
        since=first,
        until=last,
        time_zone=zones.name_of(zone or source.zone),
        totals=_totals(cells, others),
        cells=cells,
        findings=tuple(sorted(found, key=lambda entry: -abs(entry.amount))),
        estimated=not grain.money,
        rates=converted.rates,
    )


def _judged(
    converted: Converted, mine: Sequence[OurUsage], source: Source, decimals: int
) -> tuple[list[Judged], Grain]:
    our_accounts = frozenset(usage.account for usage in mine if usage.account)
    accounts = _accounts(converted.lines, source, our_accounts)
    grain = (
        grain_of(converted.lines, bool(accounts))
        if converted.lines
        else Grain(False, True, frozenset(), True, True)
    )
    cells = pairings(converted.lines, mine, grain, {}, accounts)
    if not grain.money:
        _estimate(cells.values())
    unit = Decimal(1).scaleb(-decimals) / 2
    tolerance = Tolerance(
        unit=unit * max([Decimal(1), *converted.rates.values()]),
        rounded=decimals <= _COARSE,
        relative=Decimal("0.001") if converted.implied else ZERO,
        fixed=source.tolerance,
    )
    unreported = frozenset(usage.tier for usage in mine) - REPORTED - grain.tiers
    context = Context(
        tolerance=tolerance,
        money=grain.money,
        told_days=frozenset(line.day for line in converted.lines),
        our_days=frozenset(usage.day for usage in mine),
        their_models=frozenset(line.model for line in converted.lines),
        our_models=frozenset(usage.model for usage in mine),
        unreported=unreported,
    )
    known = our_accounts if grain.account else None
    context = replace(context, untracked=untracked_keys(cells.values(), context, known))
    return judge(cells, context), grain


def _accounts(lines: Sequence[BillLine], source: Source, known: frozenset[str]) -> dict[str, str]:
    """Their accounts and keys to ours, empty where the two cannot be compared."""
    if not source.account_is or not known:
        return {}
    theirs = {word for line in lines for word in (line.account, line.key) if word}
    found = {word: source.accounts.get(word, word) for word in theirs}
    return found if known & set(found.values()) else {}


def _estimate(cells: Iterable[Pairing]) -> None:
    """Give a bill of tokens our own mean price of a token of each model and type."""
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    held = list(cells)
    for cell in held:
        pair = sums[cell.key.model, cell.key.token_type]
        pair[0] += amount(cell.mine)
        pair[1] += cell.mine.tokens or ZERO
    for cell in held:
        cost, tokens = sums[cell.key.model, cell.key.token_type]
        if cell.theirs.tokens is not None and tokens:
            equal = cell.theirs.tokens == (cell.mine.tokens or ZERO)
            cell.theirs.amount = amount(cell.mine) if equal else cost / tokens * cell.theirs.tokens


def _shifted(lines: Sequence[BillLine], ours: Ours, declared: tzinfo) -> tzinfo | None:
    counted = [line for line in lines if line.tokens is not None]
    money = not counted
    sums: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for line in counted or lines:
        sums[line.day, line.model] += (line.amount if money else line.tokens) or ZERO
    if not sums:
        return None
    hours = ours.hours()
    if not money:
        return zones.find_zone(sums, hours, declared, lambda left, right: left == right, money)
    whole = sum(sums.values(), ZERO)
    factor = sum((hour.cost for hour in hours), ZERO) / whole if whole else Decimal(1)
    foreign = any(line.currency != "USD" for line in lines)
    scale = factor if foreign else Decimal(1)
    close = Decimal("0.02") if foreign else Decimal("0.001")

    def near(left: Decimal, right: Decimal) -> bool:
        return abs(left * scale - right) <= close * max(abs(right), Decimal("0.01"))

    return zones.find_zone(sums, hours, declared, near, money)


def _our_series(usage: Iterable[OurUsage]) -> dict[str, dict[tuple[object, ...], int]]:
    found: dict[str, dict[tuple[object, ...], int]] = defaultdict(lambda: defaultdict(int))
    for entry in usage:
        found[entry.model][entry.day, entry.token_type] += entry.tokens
    return found


def _their_series(lines: Iterable[BillLine]) -> dict[str, dict[tuple[object, ...], int]]:
    found: dict[str, dict[tuple[object, ...], int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        if line.model:
            found[line.model][line.day, line.token_type] += int(line.tokens or 0)
    return found


def _cost_by(usage: Iterable[OurUsage]) -> dict[tuple[date, str], Decimal]:
    found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for entry in usage:
        found[entry.day, entry.model] += entry.cost
    return found


def _within(usage: Iterable[OurUsage], first: date, last: date) -> list[OurUsage]:
    return [entry for entry in usage if first <= entry.day <= last]


def _totals(cells: Iterable[Cell], others: Iterable[BillLine]) -> Totals:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for cell in cells:
        sums["theirs"] += cell.theirs or ZERO
        sums["ours"] += cell.ours
        sums["matched"] += cell.matched
        place = "rounding" if cell.verdict == "matched" else cell.verdict
        sums[place] += (
            abs(cell.difference) if cell.verdict in ("ours_only", "theirs_only") else cell.difference
        )
        sums["without_cause"] += ZERO if cell.cause or cell.verdict == "matched" else abs(cell.difference)
    for line in others:
        sums["theirs"] += line.amount or ZERO
        sums["theirs_only"] += line.amount or ZERO
    return Totals(**{name: sums[name] for name in Totals.__dataclass_fields__})


def _aliases(paired: Mapping[str, tuple[str, bool]], judged: Sequence[Judged]) -> list[Finding]:
    return [
        Finding.of(
            "model_alias",
            f"{theirs} is {mine}",
            ZERO,
            [found for found in judged if found.cell.key.model == mine],
        )
        for theirs, (mine, is_alias) in paired.items()
        if is_alias
    ]


def _zone_finding(
    zone: tzinfo | None,
    declared: tzinfo,
    mine: Sequence[OurUsage],
    before: Sequence[OurUsage],
    period: tuple[date, date],
) -> list[Finding]:
    if zone is None:
        return []
    gap = sum((entry.cost for entry in mine), ZERO) - sum((entry.cost for entry in before), ZERO)
    subject = f"{zones.name_of(zone)} instead of {zones.name_of(declared)}"
    return [Finding(cause="time_zone", subject=subject, amount=gap, first=period[0], last=period[1])]


def _currency_findings(lines: Sequence[BillLine], converted: Converted) -> list[Finding]:
    found: list[Finding] = []
    for currency in sorted({line.currency for line in lines if line.amount is not None} - {"USD"}):
        mine = [line for line in lines if line.currency == currency and line.amount is not None]
        face = sum((line.amount or ZERO for line in mine), ZERO)
        rate = converted.rates.get(currency)
        how = "implied" if currency in converted.implied else "given"
        subject = f"{currency} at {rate:.6f} USD ({how})" if rate else f"{currency} without a rate"
        gap = face - face * rate if rate else face
        days = [line.day for line in mine]
        found.append(Finding(cause="currency", subject=subject, amount=gap, first=min(days), last=max(days)))
    return found
