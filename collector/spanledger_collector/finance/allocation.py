"""Spend by group and the project's allocation rules in; the same spend with untagged parts borne by somebody out. Pure.

Only money moves, and only on paper: calls and tokens stay where they were, the ledger's rows are untouched, and what no
rule reaches stays with nobody, in plain sight. Sums do not change by a digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from spanledger_collector.store.reads.ledger import Sum
from spanledger_collector.store.registry.finance import Allocation

from .pool_costs import money
from .rounding import split

_PART = 10**9  # shares have nine digits


@dataclass(frozen=True, slots=True)
class Allocated:
    """Spend of one group: its own, and what rules moved to it (or, below zero, away from it), USD."""

    group: tuple[str, ...]
    own: Sum
    moved: Decimal

    @property
    def cost(self) -> Decimal:
        """What the group bears."""
        return self.own.cost + self.moved


def needed(by: Sequence[str], rules: Sequence[Allocation]) -> list[str]:
    """The dimensions spend must be grouped by so that the rules can be applied."""
    return list(dict.fromkeys([*by, *(name for rule in rules for name in (*rule.match, rule.to))]))


def allocate(
    lines: Sequence[Sum], names: Sequence[str], by: Sequence[str], rules: Sequence[Allocation]
) -> list[Allocated]:
    """Apply the rules to spend grouped by ``names`` (see ``needed``), and sum it by ``by``, dearest first.

    A rule by use spreads as the spend of those named stood before any rule.
    """
    moved: dict[tuple[str, ...], int] = {}
    for line in lines:
        group = dict(zip(names, line.group, strict=True))
        rule = next((rule for rule in rules if _is_for(rule, group)), None)
        amount = _pico(line.cost)
        if rule is None or amount <= 0 or rule.to not in by:
            continue
        weights = _weights(rule, lines, names)
        if not any(weights.values()):
            continue
        for target, part in split(amount, weights).items():
            to = tuple(({**group, rule.to: target})[name] for name in by)
            moved[to] = moved.get(to, 0) + part
        origin = tuple(group[name] for name in by)
        moved[origin] = moved.get(origin, 0) - amount
    return _summed(lines, names, by, moved)


def unallocated(lines: Sequence[Allocated], by: Sequence[str], name: str) -> Decimal:
    """The money that names nobody in this dimension."""
    at = list(by).index(name)
    return sum((line.cost for line in lines if not line.group[at]), Decimal(0))


def _is_for(rule: Allocation, group: Mapping[str, str]) -> bool:
    return not group[rule.to] and all(group[name] == value for name, value in rule.match.items())


def _weights(rule: Allocation, lines: Sequence[Sum], names: Sequence[str]) -> dict[str, int]:
    if rule.shares:
        weights = {target: int(share * _PART) for target, share in sorted(rule.shares.items())}
        return {**weights, "": _PART - sum(weights.values())}
    at = list(names).index(rule.to)
    found: dict[str, int] = {}
    for line in lines:
        if line.group[at]:
            use = {
                "cost": max(0, _pico(line.cost)),
                "calls": line.calls,
                "tokens": line.tokens_in + line.tokens_out,
            }
            found[line.group[at]] = found.get(line.group[at], 0) + use[rule.by]
    return dict(sorted(found.items()))


def _pico(amount: Decimal) -> int:
    return int(amount.scaleb(12))


def _summed(
    lines: Sequence[Sum], names: Sequence[str], by: Sequence[str], moved: Mapping[tuple[str, ...], int]
) -> list[Allocated]:
    own: dict[tuple[str, ...], Sum] = {}
    for line in lines:
        group = dict(zip(names, line.group, strict=True))
        key = tuple(group[name] for name in by)
        own[key] = own.get(key, Sum(group=key)) + line
    found = [
        Allocated(key, own.get(key, Sum(group=key)), money(moved.get(key, 0)))
        for key in dict.fromkeys([*own, *moved])
    ]
    return sorted(found, key=lambda entry: (-entry.cost, entry.group))
