"""`spanledger eval`: score a dataset, compare two runs, and say pass, fail or not enough data."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

from .catalogue import JudgeNeeded, UnknownScorer, names
from .compare import DEFAULT_MARGIN, NotComparable
from .datasets import DatasetError
from .runs import RunError
from .settings import EvalSettings, load_settings
from .targets import TargetError

PASS, FAIL, NOT_ENOUGH, REFUSED = 0, 1, 2, 3

_EXITS = (
    "exit codes: 0 pass, 1 regression or threshold missed, 2 not enough data, 3 refused (bad input or usage)"
)


class _Parser(argparse.ArgumentParser):
    """Usage errors end with 3, for 2 means "not enough data" here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(REFUSED, f"{self.prog}: {message}\n")


def command(argv: Sequence[str]) -> int:
    """Run one of the subcommands and return its exit code."""
    parser = _Parser(prog="spanledger eval", description=__doc__, epilog=_EXITS)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    _add_run(commands.add_parser("run", help="answer and score a dataset", epilog=_EXITS))
    _add_compare(commands.add_parser("compare", help="compare two runs case by case", epilog=_EXITS))
    _add_calibrate(commands.add_parser("calibrate", help="compare a run's verdicts with people's labels"))
    commands.add_parser("scorers", help="list the scorers that can be named")
    given = parser.parse_args(list(argv))
    try:
        return _dispatch(given)
    except (
        DatasetError,
        RunError,
        NotComparable,
        TargetError,
        UnknownScorer,
        JudgeNeeded,
        ImportError,
    ) as wrong:
        print(f"spanledger eval: {wrong}", file=sys.stderr)
    except OSError as wrong:
        print(f"spanledger eval: {wrong.filename or ''}: {wrong.strerror or wrong}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nspanledger eval: stopped; go on with --resume", file=sys.stderr)
    return REFUSED


def _dispatch(given: argparse.Namespace) -> int:
    from . import gate  # late: statistics and HTTP only for those who use them

    if given.command == "scorers":
        print("\n".join(names()))
        return PASS
    if given.command == "compare":
        return gate.compare_runs(given)
    if given.command == "calibrate":
        return gate.calibrate_run(given)
    settings = load_settings(EvalSettings)
    return asyncio.run(gate.run_experiment(given, settings))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="file of cases: .jsonl, .csv or .parquet")
    parser.add_argument(
        "--scorers", required=True, help="names, comma-separated (see: spanledger eval scorers)"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--function", help="module:name of a function from a case to its answer")
    target.add_argument("--route", help="route or model to ask through the gateway")
    parser.add_argument("--system", default="", help="system prompt, with --route")
    parser.add_argument("--name", default="", help="name of the run (default: the output file's)")
    parser.add_argument("--out", type=Path, help="file of the run (default: runs/DATASET.jsonl)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--split", default="", help="only the cases of this split")
    parser.add_argument("--limit", type=int, help="only the first cases")
    parser.add_argument("--repeats", type=_positive, default=1, help="answers for each case")
    parser.add_argument("--concurrency", type=_positive, default=8, help="cases at once")
    parser.add_argument("--cap", type=_usd, help="stop judging after so many USD")
    parser.add_argument("--judge", default="", help="route or model that judges, through the gateway")
    parser.add_argument("--at-least", action="append", default=[], type=_limit, metavar="METRIC=VALUE")
    parser.add_argument("--at-most", action="append", default=[], type=_limit, metavar="METRIC=VALUE")
    _add_reports(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, help="run that was accepted")
    parser.add_argument("candidate", type=Path, help="run to judge")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[METRIC=]VALUE",
        type=_margin,
        help=f"loss that would be accepted (default {DEFAULT_MARGIN})",
    )
    parser.add_argument(
        "--force", action="store_true", help="compare although dataset, judge or version differ"
    )
    _add_reports(parser)


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run whose verdicts are checked")
    parser.add_argument(
        "labels", type=Path, help="CSV with columns case_id and label (pass/fail, 1/0, true/false)"
    )
    parser.add_argument("--metric", required=True)
    parser.add_argument("--threshold", type=float, default=0.5, help="a value at or above it is a pass")


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--junit", type=Path, help="write a JUnit report")
    parser.add_argument("--json", type=Path, help="write a JSON report")
    parser.add_argument("--markdown", type=Path, help="write a Markdown report")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _usd(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of USD") from None
    if not value.is_finite() or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of USD")
    return value


def _limit(text: str) -> tuple[str, float]:
    name, mark, value = text.rpartition("=")
    if not mark:
        raise argparse.ArgumentTypeError("expected METRIC=VALUE")
    return name, float(value)


def _margin(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("a margin is a loss of 0 or more")
    return name, number
