"""Lines in other currencies in; lines in US dollars, and the rates that made them so, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from statistics import median

from spanledger_collector.finance.bills import BillLine

USD = "USD"
_CLOSE = Decimal("0.005")
_MOST = Decimal("0.6")


@dataclass(frozen=True, slots=True)
class Converted:
    """Lines in USD; for each other currency the rate used (the mean, where it was found day by day)."""

    lines: tuple[BillLine, ...]
    rates: Mapping[str, Decimal]
    implied: frozenset[str]
    """Currencies whose rate nobody gave and which was found by comparing with our own figures."""


Dated = Mapping[str, Sequence[tuple[date, Decimal]]]
"""By currency: units for one US dollar, each from a day on, ascending; before the first day its rate holds too."""


def to_usd(
    lines: Sequence[BillLine],
    rates: Mapping[str, Decimal],
    ours: Mapping[tuple[date, str], Decimal],
    dated: Dated | None = None,
) -> Converted:
    """Convert by the bill's own rates (USD for one unit), by dated ones, or by what makes most of it equal to ``ours``.

    Amounts of a currency that has no rate and cannot be compared stay as they are.
    """
    used: dict[str, Decimal] = {}
    implied: set[str] = set()
    by_day: dict[tuple[str, date], Decimal] = {}
    for currency in sorted({line.currency for line in lines if line.amount is not None} - {USD}):
        if currency in rates:
            used[currency] = rates[currency]
            continue
        mine = [line for line in lines if line.currency == currency]
        if per_usd := (dated or {}).get(currency):
            given = {day: 1 / _at(per_usd, day) for day in {line.day for line in mine}}
            by_day |= {(currency, day): rate for day, rate in given.items()}
            used[currency] = Decimal(median(given.values()))
            continue
        found = _implied(mine, ours)
        if found:
            implied.add(currency)
            by_day |= {(currency, day): rate for day, rate in found.items()}
            used[currency] = Decimal(median(found.values()))
    converted = [
        replace(line, amount=line.amount * by_day.get((line.currency, line.day), used[line.currency]))
        if line.amount is not None and line.currency in used
        else line
        for line in lines
    ]
    return Converted(tuple(converted), used, frozenset(implied))


def _at(per_usd: Sequence[tuple[date, Decimal]], day: date) -> Decimal:
    return next((rate for since, rate in reversed(per_usd) if since <= day), per_usd[0][1])


def _implied(lines: Sequence[BillLine], ours: Mapping[tuple[date, str], Decimal]) -> Mapping[date, Decimal]:
    sums: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        if line.kind == "usage" and line.amount is not None:
            sums[line.day, line.model] += line.amount
    both = {key: (ours[key], value) for key, value in sums.items() if value > 0 and ours.get(key, 0) > 0}
    if not both:
        return {}
    whole, share = _steady(list(both.values()))
    days = {day for day, _ in both}
    if share >= _MOST:
        return dict.fromkeys(days, whole)
    return {day: _steady([pair for (at, _), pair in both.items() if at == day])[0] for day in days}


def _steady(pairs: Sequence[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    """The rate that most of the money has, and how much of it: small sums are rounded hard and count little."""
    ordered = sorted(pairs, key=lambda pair: pair[0] / pair[1])
    total = sum((theirs for _, theirs in ordered), Decimal(0))
    passed, middle = Decimal(0), ordered[-1][0] / ordered[-1][1]
    for mine, theirs in ordered:
        passed += theirs
        if passed * 2 >= total:
            middle = mine / theirs
            break
    near = [(mine, theirs) for mine, theirs in ordered if abs(mine / theirs / middle - 1) <= _CLOSE]
    held = sum((theirs for _, theirs in near), Decimal(0))
    return sum((mine for mine, _ in near), Decimal(0)) / held, held / total
