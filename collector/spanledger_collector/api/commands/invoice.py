"""`spanledger invoice import|list|reconcile|accept`: vendors' bills against the ledger."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .finance import columns, month, usd
from .remote import Collector, connect, parser, reported
from .show import plain


def command(argv: list[str]) -> int:
    """Run one of the actions; ``reconcile`` returns 1 when more than ``--most-unexplained`` has no cause."""
    made = parser("invoice", __doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    importing = actions.add_parser(
        "import", help="import a vendor's file: OpenAI, Anthropic, FOCUS or any CSV with a mapping"
    )
    importing.add_argument("source", metavar="SOURCE", help="an invoice_source document, openai or anthropic")
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE")
    listing = actions.add_parser("list", help="what was imported")
    listing.add_argument("source", nargs="?", default="", metavar="SOURCE")
    comparing = actions.add_parser("reconcile", help="compare a month with the ledger")
    comparing.add_argument("source", metavar="SOURCE")
    comparing.add_argument("month", type=month, metavar="YYYY-MM")
    comparing.add_argument("--most-unexplained", type=float, default=100.0, metavar="PERCENT")
    accepting = actions.add_parser("accept", help="book a finding as an adjustment")
    for name in ("source", "finding"):
        accepting.add_argument(name, metavar=name.upper())
    accepting.add_argument("month", type=month, metavar="YYYY-MM")
    accepting.add_argument("--reason", required=True)
    options = made.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _ACTIONS[options.action](collector, options))


def _import(collector: Collector, options: argparse.Namespace) -> int:
    for path in options.files:
        told = collector.upload(
            "finance/invoices", {"source": options.source, "file": path.name}, path.read_bytes()
        )
        amounts = (
            ", ".join(f"{usd(amount)} {code}" for code, amount in told["amounts"].items()) or "tokens only"
        )
        print(
            f"{path.name}: {told['format']}, {told['lines']} lines, {told['first_day']} to {told['last_day']}, {amounts}"
        )
        for reason, count in told["left_out"].items():
            print(f"  left out: {count} rows, {plain(reason)}")
        for warning in told["warnings"]:
            print(f"  warning: {plain(warning)}")
    return 0


def _list(collector: Collector, options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = collector.call(
        "GET", "finance/invoices", {"source": options.source} if options.source else {}
    )
    table = [
        (row["import_id"], row["source"], row["time"][:16], f"{row['first_day']}..{row['last_day']}", row["lines"], row["format"], row["file"], "withdrawn" if row["withdrawn"] else "")
        for row in rows
    ]  # fmt: skip
    for line in columns(table, frozenset({4})):
        print(line)
    return 0


def _reconcile(collector: Collector, options: argparse.Namespace) -> int:
    told = collector.call("GET", "finance/reconciliation", {"source": options.source, "month": options.month})
    shares, totals = told["shares"], told["totals"]
    print(
        f"{told['source']}, {told['since']} to {told['until']} ({told['time_zone']}){', valued at our prices' if told['estimated'] else ''}"
    )
    names = (
        "theirs",
        "ours",
        "matched",
        "ours_only",
        "theirs_only",
        "explained",
        "unexplained",
        "without_cause",
    )
    for line in columns(
        [(name.replace("_", " "), usd(totals[name]), f"{shares[name]:.2%}") for name in names],
        frozenset({1, 2}),
    ):
        print(f"  {line}")
    for entry in told["findings"]:
        days = entry["first"] if entry["first"] == entry["last"] else f"{entry['first']} to {entry['last']}"
        accepted = " (accepted)" if entry["accepted"] else ""
        print(
            f"{entry['id']}  {usd(entry['amount']):>12}  {entry['title']}: {plain(entry['subject'])}, {days}{accepted}"
        )
        print(f"{'':30}  {entry['advice']}")
    return int(100 * shares["without_cause"] > options.most_unexplained)


def _accept(collector: Collector, options: argparse.Namespace) -> int:
    told = collector.call(
        "POST",
        f"finance/reconciliation/{options.finding}/accept",
        {"source": options.source, "month": options.month},
        {"reason": options.reason},
    )
    print(
        f"{'booked' if told['booked'] else 'was booked before'}: {usd(told['cost'], 6)} USD {told['adjustment_id']}"
    )
    return 0


_ACTIONS = {"import": _import, "list": _list, "reconcile": _reconcile, "accept": _accept}
