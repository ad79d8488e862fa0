"""Words of the command line in, checked values out; and the parsers of the smaller subcommands."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from pathlib import Path


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    """A run and a file of labels, or ``--collector`` and a window."""
    parser.add_argument("run", type=Path, nargs="?", help="run whose verdicts are checked")
    parser.add_argument(
        "labels", type=Path, nargs="?", help="CSV with columns case_id and label (pass/fail, 1/0, true/false)"
    )
    parser.add_argument(
        "--collector", action="store_true", help="take verdicts and people's scores from the collector"
    )
    parser.add_argument("--human", default="", help="name of people's score, when not the metric's")
    parser.add_argument(
        "--by", default="route", choices=["route", "upstream", "request_model", "scorer_version", "judge_id"]
    )
    parser.add_argument("--metric", required=True)
    parser.add_argument("--threshold", type=float, default=0.5, help="a value at or above it is a pass")
    _add_window(parser)


def add_push(parser: argparse.ArgumentParser) -> None:
    """A run and its dataset."""
    parser.add_argument("run", type=Path, help="run to store")
    parser.add_argument("dataset", help="the dataset it ran over: a file or dataset:NAME[@VERSION]")


def add_dataset(parser: argparse.ArgumentParser, kind: type[argparse.ArgumentParser]) -> None:
    """Four ways to make a dataset."""
    ways = parser.add_subparsers(dest="way", required=True, parser_class=kind)
    pull = ways.add_parser("pull", help="write a dataset of the registry to a file")
    pull.add_argument("name", help="NAME or NAME@VERSION")
    push = ways.add_parser("push", help="store a file as a new version of a dataset of the registry")
    push.add_argument("file", type=Path)
    calls = ways.add_parser("from-calls", help="make cases of calls that a filter finds")
    calls.add_argument(
        "--where",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=VALUE",
        help="any filter of GET /api/calls, as route=gpt-4o, score=groundedness, max_score=0.4, tag=beta",
    )
    calls.add_argument("--rate", type=share, default=1.0, help="share of the traces to keep")
    marked = ways.add_parser(
        "marked", help='make cases of calls marked by spanledger.score("dataset", LABEL)'
    )
    marked.add_argument("label")
    for made in (calls, marked):
        made.add_argument("--limit", type=positive, default=200)
        _add_window(made)
    for made in (pull, calls, marked):
        made.add_argument("--out", type=Path, help="file to write, .jsonl")
    for made in (push, calls, marked):
        made.add_argument("--name", default="", help="store it under this name in the registry")
        made.add_argument("--note", default="", help="why, for the history")
        made.add_argument(
            "--split", action="append", default=[], type=shares, metavar="NAME=SHARE", help="as train=0.8"
        )


def _add_window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="7d", help="an age (7d, 24h) or a date")
    parser.add_argument("--until", default="now")


def positive(text: str) -> int:
    """A whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def share(text: str) -> float:
    """A share above 0 and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("a share above 0, at most 1")
    return value


def usd(text: str) -> Decimal:
    """An amount of USD, 0 or more."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of USD") from None
    if not value.is_finite() or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of USD")
    return value


def pair(text: str) -> tuple[str, str]:
    """``NAME=VALUE``."""
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    return name, value


def shares(text: str) -> tuple[str, float]:
    """``NAME=SHARE``."""
    name, value = pair(text)
    return name, share(value)


def limit(text: str) -> tuple[str, float]:
    """``METRIC=VALUE``."""
    name, mark, value = text.rpartition("=")
    if not mark:
        raise argparse.ArgumentTypeError("expected METRIC=VALUE")
    return name, float(value)


def margin(text: str) -> tuple[str, float]:
    """``METRIC=VALUE``, or ``VALUE`` for every metric; a loss of 0 or more."""
    name, _, value = text.rpartition("=")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("a margin is a loss of 0 or more")
    return name, number
