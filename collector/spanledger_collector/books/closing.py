"""Month close: figures frozen and signed, what came later booked as adjustments, and statements of any month."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast

from spanledger_collector.finance.statement import Against, Line, Statement, Unit
from spanledger_collector.finance.variance import Meter, compare
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance.adjustments import GROUP, Adjustment, Kind, book
from spanledger_collector.store.finance.months import Closing, earliest_cutoff, write_closing
from spanledger_collector.store.reads import charges, ledger
from spanledger_collector.store.reads.ledger import Ask, Sum
from spanledger_collector.store.reads.months import Month, months
from spanledger_collector.store.reads.units import Units, units
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.registry import Registry

ZERO = Decimal(0)
_KINDS: Mapping[str, Kind] = {"span": "late_calls", "gpu": "gpu_restatement", "reprice": "reprice"}


_KEPT: OrderedDict[tuple[object, ...], object] = OrderedDict()
_MOST_KEPT = 512
_T = TypeVar("_T")


class ClosingError(ValueError):
    """A month cannot be closed, or is not; the message says why and what to do."""


def window_of(month: date) -> Window:
    """A calendar month, UTC."""
    first = month.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, after))
    return Window(int(start.timestamp()) * 10**9, int(end.timestamp()) * 10**9)


def state_of(client: Client, project: str, month: date) -> Month | None:
    """The month's newest state; None when it was never closed."""
    first = month.replace(day=1)
    return next((entry for entry in months(client, project, closed_only=False) if entry.first == first), None)


def close(client: Client, project: str, month: date, *, author: str, note: str, now: datetime) -> Month:
    """Sign a month: what was known before today (UTC) is its figures from now on.

    Raises:
        ClosingError: it has not settled yet, or is closed already.
    """
    first, today = month.replace(day=1), now.astimezone(UTC).date()
    state = state_of(client, project, first)
    if state and state.state == "closed":
        raise ClosingError(
            f"{first:%Y-%m} was closed by {state.author}: what came later is booked by reopen-as-adjustment"
        )
    if today < earliest_cutoff(first):
        raise ClosingError(
            f"{first:%Y-%m} can be closed from {earliest_cutoff(first)} on: GPU costs and late calls still come in"
        )
    totals = figures(client, project, first, Ask(known_before=today))
    write_closing(
        client,
        Closing(
            project=project,
            month=first,
            cutoff=today,
            author=author,
            note=note,
            totals=json.dumps(totals),
            time=now,
        ),
    )
    signed = state_of(client, project, first)
    if signed is None:
        raise ClosingError("the store did not keep the closing: try again")
    return signed


def figures(client: Client, project: str, month: date, which: Ask | None = None) -> dict[str, Any]:
    """The month's total and each team's, as they are frozen: decimal strings."""
    sums = ledger.sums(client, project, window_of(month), ["team"], which=which)
    return {
        "cost": format(sum((entry.cost for entry in sums), Decimal(0)), "f"),
        "calls": sum(entry.calls for entry in sums),
        "unpriced": sum(entry.unpriced for entry in sums),
        "teams": {entry.group[0]: format(entry.cost, "f") for entry in sums},
    }


def late(client: Client, project: str, month: date) -> list[Adjustment]:
    """What became known of a closed month after its cutoff and is not booked yet, one entry a group and kind.

    Raises:
        ClosingError: the month is not closed.
    """
    state = state_of(client, project, month)
    if state is None or state.state != "closed":
        raise ClosingError(
            f"{month:%Y-%m} is not closed: its figures follow what becomes known by themselves"
        )
    by = ["source", "line", "category", *GROUP]
    window = window_of(month)
    open_: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for sign, which in ((1, Ask(as_closed=False)), (-1, Ask())):
        for entry in ledger.sums(client, project, window, by, which=which):
            source, line, category, *group = entry.group
            if source == "adjustment":
                # Both questions have all adjustments; what was booked for late rows is taken off once.
                booked = line in _KINDS.values() and sign > 0
                open_[(line, category, *group)] -= entry.cost if booked else Decimal(0)
            else:
                open_[(_KINDS[source], category, *group)] += sign * entry.cost
    return [_entry(project, state, key, cost) for key, cost in sorted(open_.items()) if cost]


def _entry(project: str, state: Month, key: tuple[str, ...], cost: Decimal) -> Adjustment:
    kind, category, *group = key
    named = {name: value for name, value in zip(GROUP, group, strict=True) if value}
    return Adjustment(
        project=project,
        day=state.after - timedelta(days=1),
        kind=kind,  # pyright: ignore[reportArgumentType] - one of those that late() names
        category=category,
        cost=cost,
        reason="",
        author="",
        identity=json.dumps([state.first.isoformat(), *key, format(cost, "f")]),
        group=named,
    )


def book_late(
    client: Client, project: str, month: date, *, author: str, reason: str, now: datetime
) -> list[Adjustment]:
    """Book what came after the cutoff; the month then says what is known now, visibly corrected.

    Raises:
        ClosingError: the month is not closed.
    """
    entries = [
        replace(entry, author=author, reason=reason, known_at=now, identity=f"{entry.identity}{now.date()}")
        for entry in late(client, project, month)
    ]
    book(client, entries)
    return entries


def statement(
    client: Client, project: str, month: date, team: str | None = None, *, score: str = "", least: float = 1.0
) -> Statement:
    """A team's month, or the project's. Of a closed month: the signed figures and what was booked since."""
    first = month.replace(day=1)
    state, window = state_of(client, project, first), window_of(first)
    which = Ask(only=None if team is None else {"team": team})
    sums = ledger.sums(client, project, window, ["team", "category", "provider", "model"], which=which)
    closed = state is not None and state.state == "closed"
    return Statement(
        project=project,
        month=first,
        team=team,
        state="closed" if closed else "open",
        signed_by=state.author if state and closed else "",
        cutoff=state.cutoff if state and closed else None,
        lines=tuple(_line(entry) for entry in sums),
        features=_units(client, project, window, "feature", team, score, least),
        customers=_units(client, project, window, "customer_id", team, score, least),
        budgets=tuple(_budgets(client, project, window, team)),
        change=compare(
            _meters(client, project, first - timedelta(days=1), team), _meters(client, project, first, team)
        ),
        differs=_differs(client, project, state) if state and closed else "",
    )


def _line(entry: Sum) -> Line:
    team, category, provider, model = entry.group
    return Line(
        team=team,
        category=category,
        provider=provider,
        model=model,
        calls=entry.calls,
        unpriced=entry.unpriced,
        tokens_in=entry.tokens_in,
        tokens_out=entry.tokens_out,
        cost=entry.cost,
        saved=entry.saved,
    )


def _units(
    client: Client, project: str, window: Window, by: str, team: str | None, score: str, least: float
) -> tuple[Unit, ...]:
    which = Ask(only=None if team is None else {"team": team})
    sums = ledger.sums(client, project, window, [by], which=which)
    cost = {entry.group[0]: entry.cost for entry in sums}
    counted = {
        entry.group: entry for entry in _counted(client, project, window, by, team, score, least, sums)
    }
    return tuple(
        Unit(
            group=group,
            cost=amount,
            calls=counted[group].calls if group in counted else 0,
            conversations=counted[group].conversations if group in counted else 0,
            resolved=counted[group].resolved if group in counted else None,
        )
        for group, amount in cost.items()
    )[:200]


def _counted(
    client: Client,
    project: str,
    window: Window,
    by: str,
    team: str | None,
    score: str,
    least: float,
    sums: Sequence[Sum],
) -> list[Units]:
    def ask() -> list[Units]:
        return units(client, project, window, by, score=score, least=least, team=team)

    if score:  # scores come later than the calls they are about
        return ask()
    return _kept(client, ("units", project, window.start, by, team), _seen(sums), ask)


def _budgets(client: Client, project: str, window: Window, team: str | None) -> list[Against]:
    found: list[Against] = []
    for version in Registry(client).list([project], ["budget"]):
        scope: dict[str, str] = version.document.get("scope", {})
        if version.document.get("period", "month") != "month" or (
            team is not None and scope.get("team") != team
        ):
            continue
        if not set(scope) <= set(ledger.DIMENSIONS):
            continue
        spent = ledger.sums(client, project, window, which=Ask(only=scope))
        total = sum((entry.cost for entry in spent), Decimal(0))
        found.append(Against(name=version.name, amount=Decimal(str(version.document["amount"])), spent=total))
    return found


def _meters(client: Client, project: str, month: date, team: str | None) -> list[Meter]:
    """Tokens and cost of each model and type; spend that no meter holds stands for itself."""
    window, first = window_of(month), month.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    which = Ask(only=None if team is None else {"team": team})
    left: dict[str, Decimal] = defaultdict(Decimal)
    sums = ledger.sums(client, project, window, ["model"], which=which)
    for entry in sums:
        left[entry.group[0]] += entry.cost
    found: list[Meter] = []
    split_by_model = _kept(
        client, ("meters", project, first, team), _seen(sums),
        lambda: charges.meters(client, project, first, after, ["model"], team=team),
    )  # fmt: skip
    for (model,), split in split_by_model.items():
        for name, tokens, cost in split:
            found.append(Meter(model, name, Decimal(tokens), cost))
            left[model] -= cost
    return found + [Meter(model, "", Decimal(0), cost) for model, cost in left.items() if cost]


def _differs(client: Client, project: str, state: Month) -> str:
    """Whether the ledger still tells what was signed: it does, unless rows were lost or rewritten underneath."""
    signed: dict[str, Any] = json.loads(state.totals or "{}")
    now = figures(client, project, state.first, Ask(known_before=state.cutoff))
    if not signed or Decimal(signed["cost"]) == Decimal(now["cost"]):
        return ""
    return (
        f"signed were {signed['cost']} USD, the ledger tells {now['cost']} USD of the same days of knowledge"
    )


def _kept(client: Client, key: tuple[object, ...], seen: tuple[object, ...], ask: Callable[[], _T]) -> _T:
    """An answer read from every call of a month, kept until the ledger's own sums of that month say something else."""
    whole = (client.database, *key, *seen)
    if whole in _KEPT:
        return cast(_T, _KEPT[whole])
    found = ask()
    _KEPT[whole] = found
    while len(_KEPT) > _MOST_KEPT:
        _KEPT.popitem(last=False)
    return found


def _seen(sums: Sequence[Sum]) -> tuple[object, ...]:
    return tuple(
        sum(getattr(entry, name) for entry in sums)
        for name in ("calls", "unpriced", "cost", "tokens_in", "tokens_out")
    )


def teams(client: Client, project: str, month: date) -> list[str]:
    """Teams with spend in the month, dearest first."""
    return [entry.group[0] for entry in ledger.sums(client, project, window_of(month), ["team"])]


def open_months(client: Client, project: str, now: datetime, count: int = 12) -> Sequence[Month]:
    """The latest months, newest first, with their states; the running one too."""
    known = {entry.first: entry for entry in months(client, project, closed_only=False)}
    first = now.astimezone(UTC).date().replace(day=1)
    found: list[Month] = []
    for _ in range(count):
        found.append(known.get(first, Month(first=first, state="open", cutoff=first)))
        first = (first - timedelta(days=1)).replace(day=1)
    return found
