"""`spanledger focus export`: the ledger as a FOCUS 1.2 dataset, whole or by increments."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from .finance import month
from .remote import Collector, connect, parser, reported


def command(argv: list[str]) -> int:
    """Write one file, or to stdout. Says on stderr what to pass as ``--since`` next time."""
    made = parser("focus", __doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    exporting = actions.add_parser(
        "export", help="write rows of a month, or of days from --from until before --to"
    )
    exporting.add_argument(
        "month", nargs="?", type=month, metavar="YYYY-MM", help="default: the running month"
    )
    exporting.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE")
    exporting.add_argument("--to", dest="after", type=date.fromisoformat, metavar="DATE")
    exporting.add_argument("--step", choices=("day", "month"), default="day")
    exporting.add_argument(
        "--since",
        type=date.fromisoformat,
        metavar="DATE",
        help="only periods changed on that day or later, each told whole",
    )
    exporting.add_argument("--format", choices=("csv", "parquet"), default="csv")
    exporting.add_argument("--output", "-o", type=Path, metavar="FILE")
    options = made.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _export(collector, options))


def _export(collector: Collector, options: argparse.Namespace) -> int:
    first, after = _period(options)
    query = {
        "from": first.isoformat(),
        "to": after.isoformat(),
        "step": options.step,
        "format": options.format,
    }
    if options.since:
        query["since"] = options.since.isoformat()
    today = datetime.now(UTC).date()
    with _target(options.output) as target:
        collector.download("finance/focus", query, target)
    print(f"{first} to {after}; the next increment: --since {today}", file=sys.stderr)
    return 0


def _period(options: argparse.Namespace) -> tuple[date, date]:
    if options.first and options.after:
        return options.first, options.after
    text = options.month or f"{datetime.now(UTC):%Y-%m}"
    first = date.fromisoformat(f"{text}-01")
    return first, (first + timedelta(days=32)).replace(day=1)


@contextlib.contextmanager
def _target(path: Path | None) -> Generator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(f"{path.name}.part")  # a broken export never has the name of a whole one
    with part.open("wb") as file:
        yield file
    part.replace(path)
