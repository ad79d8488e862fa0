"""`spanledger month list|close|reopen-as-adjustment|statement`: months signed, corrected, and charged to teams."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .finance import columns, usd
from .finance import month as month_name
from .remote import Collector, connect, parser, reported


def command(argv: list[str]) -> int:
    """Run one of the actions."""
    made = parser("month", __doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the last twelve months and who signed them")
    closing = actions.add_parser("close", help="sign a month: only adjustments change it from then on")
    closing.add_argument("month", type=month_name, metavar="YYYY-MM")
    closing.add_argument("--note", default="")
    reopening = actions.add_parser(
        "reopen-as-adjustment", help="book what became known of a closed month since"
    )
    reopening.add_argument("month", type=month_name, metavar="YYYY-MM")
    reopening.add_argument("--reason", required=True)
    stating = actions.add_parser("statement", help="print a team's month, or the project's")
    stating.add_argument("month", type=month_name, metavar="YYYY-MM")
    stating.add_argument("--team")
    stating.add_argument("--score", default="", help="a score that says an answer resolved its case")
    stating.add_argument("--least", default="1.0", help="the least value of that score")
    stating.add_argument("--csv", action="store_true")
    options = made.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _ACTIONS[options.action](collector, options))


def _list(collector: Collector, options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = collector.call("GET", "finance/months")
    for line in columns(
        [(row["month"], row["state"], row["cutoff"] or "", row["signed_by"], row["note"]) for row in rows]
    ):
        print(line)
    return 0


def _close(collector: Collector, options: argparse.Namespace) -> int:
    told = collector.call("POST", f"finance/months/{options.month}/close", {}, {"note": options.note})
    print(f"{told['month']} is closed: what was known before {told['cutoff']}, signed by {told['signed_by']}")
    return 0


def _reopen(collector: Collector, options: argparse.Namespace) -> int:
    told = collector.call(
        "POST", f"finance/months/{options.month}/reopen-as-adjustment", {}, {"reason": options.reason}
    )
    print(f"{told['booked']} adjustments, {usd(told['cost'], 6)} USD")
    return 0


def _statement(collector: Collector, options: argparse.Namespace) -> int:
    query = {
        "score": options.score,
        "least": options.least,
        **({"team": options.team} if options.team is not None else {}),
    }
    path = f"finance/statements/{options.month}"
    if options.csv:
        collector.download(path, {**query, "format": "csv"}, sys.stdout.buffer)
        return 0
    told = collector.call("GET", path, query)
    signed = f", signed by {told['signed_by']}" if told["signed_by"] else ""
    print(
        f"{options.team or 'all teams'}, {told['month']} ({told['state']}{signed}): {usd(told['cost'])} USD"
    )
    lines = [("team", "category", "provider", "model", "calls", "USD")]
    lines += [
        (row["team"], row["category"], row["provider"], row["model"], row["calls"], usd(row["cost"], 4))
        for row in told["lines"]
    ]
    for line in columns(lines, frozenset({4, 5})):
        print(f"  {line}")
    change = told["change"]
    parts = ", ".join(f"{name} {usd(change[name])}" for name in ("volume", "price", "mix", "cache", "other"))
    print(f"  the month before: {usd(change['before'])} USD; change: {parts}")
    for entry in told["budgets"]:
        print(f"  budget {entry['name']}: {usd(entry['spent'])} of {usd(entry['amount'])}")
    if told["unpriced"]:
        print(f"  {told['unpriced']} calls have no known price and are in no sum")
    return 0


_ACTIONS = {"list": _list, "close": _close, "reopen-as-adjustment": _reopen, "statement": _statement}
