"""`spanledger price`: price past calls anew, and say where prices disagree. Needs SPANLEDGER_CLICKHOUSE_URL."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
import uuid
from datetime import UTC, datetime

from clickhouse_connect.driver.exceptions import Error

from spanledger_collector.store.client import connect, connect_reader
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.registry.price_tables import price_tables, table_of
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings, load_settings

from .disagreements import disagreements
from .reprice_job import Wanted, reprice


def command(argv: list[str]) -> int:
    """Run one of the two; 1 when the store refuses, 2 for a bad argument."""
    options = _parser().parse_args(argv)
    try:
        window = Window(_ns(options.since), _ns(options.until) if options.until else time.time_ns())
    except ValueError as wrong:
        print(f"spanledger price: {wrong}", file=sys.stderr)
        return 2
    try:
        return _reprice(options, window) if options.action == "reprice" else _disagreements(options, window)
    except Error as refused:
        print(f"spanledger price: {refused}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spanledger price", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    about = {
        "reprice": "price past calls by the documents as they stand; old figures are kept, closed months get adjustments",
        "disagreements": "where our price and a second source tell different costs",
    }
    for name, text in about.items():
        one = actions.add_parser(name, help=text, description=text)
        one.add_argument("--project", default="default")
        one.add_argument("--from", dest="since", required=True, help="ISO 8601 day or time, UTC")
        one.add_argument("--until", help="exclusive; default: now")
        one.add_argument("--provider", default="")
        one.add_argument("--model", default="")
        if name == "reprice":
            one.add_argument("--note", required=True, help="why; kept with every figure")
            one.add_argument("--author", default=getpass.getuser())
            one.add_argument("--dry-run", action="store_true", help="say what would change")
    return parser


def _reprice(options: argparse.Namespace, window: Window) -> int:
    client = connect(load_settings(StoreSettings))
    table = table_of(price_tables(Registry(client).list_all(["price"])), options.project)
    wanted = Wanted(
        run=uuid.uuid4().hex,
        project=options.project,
        window=window,
        provider=options.provider,
        model=options.model,
        author=options.author,
        note=options.note,
    )
    done = reprice(client, wanted, table, lambda: time.time_ns() // 10**6, dry_run=options.dry_run)
    would = "would change" if options.dry_run else "changed"
    print(f"{done.changed} of {done.calls} calls {would}, by {done.difference:+f} USD (run {wanted.run})")
    if done.closed_months:
        print(f"closed months {', '.join(done.closed_months)}: booked {done.booked:+f} USD as adjustments")
    return 0


def _disagreements(options: argparse.Namespace, window: Window) -> int:
    client = connect_reader(load_settings(StoreSettings))
    table = table_of(price_tables(Registry(client).list_all(["price"])), options.project)
    found = disagreements(client, options.project, window, table)
    wanted = [
        one for one in found if options.provider in ("", one.provider) and options.model in ("", one.model)
    ]
    for one in wanted:
        theirs = "unknown" if one.theirs is None else f"{one.theirs:f}"
        ours = "unknown" if one.ours is None else f"{one.ours:f}"
        print(
            f"{one.provider}/{one.model} {one.what}: ours {ours}, {one.source} {theirs} ({one.calls} calls)"
        )
    print(f"{len(wanted)} disagreements")
    return 0


def _ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day or time in ISO 8601, such as 2026-11-01") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9
