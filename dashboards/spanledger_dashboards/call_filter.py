"""A page's address in, the store's call filter and order out."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from spanledger_collector.store.reads.calls import EXACT, ORDERS, CallFilter, Show

from .view import BadView, View

FILTERS = frozenset(EXACT)
"""Parameters of an address that filter by equality."""

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ns|us|µs|ms|s|min|m|h)?\s*")
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SHOWS: dict[str, Show] = {"calls": "calls", "roots": "roots", "all": "all"}
_HEX32 = re.compile(r"[0-9a-f]{32}")


def filter_of(view: View) -> CallFilter:
    """Read the filters. Raises BadView for one that cannot be understood."""
    cost = view.get("dearer")
    if cost:
        _check_money(cost)
    trace = view.get("trace").lower()
    if trace and not _HEX32.fullmatch(trace):
        raise BadView("A trace id has 32 hexadecimal digits.")
    return CallFilter(
        show=_SHOWS.get(view.get("show", "calls"), "calls"),
        equal={name: value for name, value in view.filters.items() if name in FILTERS},
        words=view.get("q"),
        min_duration_ns=_nanoseconds(view.get("slower")),
        max_duration_ns=_nanoseconds(view.get("faster")),
        min_cost=cost,
        unpriced=bool(view.get("unpriced")),
        trace=trace,
    )


def order_of(view: View) -> tuple[str, bool]:
    """The order and whether it descends; by time, newest first, unless the address says otherwise."""
    order = view.get("order", "start_time")
    return (order if order in ORDERS else "start_time"), view.get("way") != "asc"


def _nanoseconds(text: str) -> int | None:
    if not text:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadView(f"“{text[:40]}” is no duration. Write it like 800 ms, 2 s or 1.5 min.")
    return int(Decimal(found[1]) * _UNITS[found[2] or "s"])


def _check_money(text: str) -> None:
    try:
        if Decimal(text).is_finite():
            return
    except InvalidOperation:
        pass
    raise BadView(f"“{text[:40]}” is no amount of US dollars. Write it like 0.05.")
