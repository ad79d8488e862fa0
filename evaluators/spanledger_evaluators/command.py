"""`spanledger eval`: make datasets, score them, compare two runs, and say pass, fail or not enough data."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .arguments import add_calibrate, add_dataset, add_push, limit, margin, positive, usd
from .catalogue import CannotBuild, names
from .compare import DEFAULT_MARGIN, NotComparable
from .datasets import DatasetError
from .runs import RunError
from .server import CollectorError
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
    add_calibrate(commands.add_parser("calibrate", help="compare a judge's verdicts with people's labels"))
    add_push(commands.add_parser("push", help="store a run at the collector, for the page Experiments"))
    add_dataset(commands.add_parser("dataset", help="make datasets of files, calls and marks"), _Parser)
    commands.add_parser("scorers", help="list the scorers that can be named")
    given = parser.parse_args(list(argv))
    try:
        return _dispatch(given)
    except (
        DatasetError,
        RunError,
        NotComparable,
        TargetError,
        CannotBuild,
        CollectorError,
        ImportError,
    ) as wrong:
        print(f"spanledger eval: {wrong}", file=sys.stderr)
    except OSError as wrong:
        print(f"spanledger eval: {wrong.filename or ''}: {wrong.strerror or wrong}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nspanledger eval: stopped; go on with --resume", file=sys.stderr)
    return REFUSED


def _dispatch(given: argparse.Namespace) -> int:
    from . import gate, online  # late: statistics and HTTP only for those who use them

    if given.command == "scorers":
        print("\n".join(names()))
        return PASS
    if given.command == "compare":
        return gate.compare_runs(given)
    settings = load_settings(EvalSettings)
    work = {
        "run": gate.run_experiment,
        "calibrate": online.calibrate_judge,
        "push": online.push_run,
        "dataset": online.make_dataset,
    }
    return asyncio.run(work[given.command](given, settings))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", help="file of cases (.jsonl, .csv, .parquet), or dataset:NAME[@VERSION] of the registry"
    )
    parser.add_argument(
        "--scorers", required=True, help="names, comma-separated (see: spanledger eval scorers)"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--function", help="module:name of a function from a case to its answer")
    target.add_argument(
        "--prompt", help="prompt of the registry to ask with: NAME, NAME@VERSION or NAME@LABEL; needs --route"
    )
    parser.add_argument("--route", help="route or model to ask through the gateway")
    parser.add_argument("--system", default="", help="system prompt, with --route")
    parser.add_argument("--options", type=Path, help="TOML file with tables [options.SCORER]")
    parser.add_argument(
        "--name", default="", help="name of the run (default: the output file's and the time)"
    )
    parser.add_argument(
        "--store",
        action=argparse.BooleanOptionalAction,
        help="store the run at the collector (default: where SPANLEDGER_KEY is set)",
    )
    parser.add_argument("--out", type=Path, help="file of the run (default: runs/DATASET.jsonl)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--split", default="", help="only the cases of this split")
    parser.add_argument("--limit", type=int, help="only the first cases")
    parser.add_argument("--repeats", type=positive, default=1, help="answers for each case")
    parser.add_argument("--concurrency", type=positive, default=8, help="cases at once")
    parser.add_argument("--cap", type=usd, help="stop judging after so many USD")
    parser.add_argument("--judge", default="", help="route or model that judges, through the gateway")
    parser.add_argument("--at-least", action="append", default=[], type=limit, metavar="METRIC=VALUE")
    parser.add_argument("--at-most", action="append", default=[], type=limit, metavar="METRIC=VALUE")
    _add_reports(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, help="run that was accepted")
    parser.add_argument("candidate", type=Path, help="run to judge")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[METRIC=]VALUE",
        type=margin,
        help=f"loss that would be accepted (default {DEFAULT_MARGIN})",
    )
    parser.add_argument(
        "--force", action="store_true", help="compare although dataset, judge or version differ"
    )
    _add_reports(parser)


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--junit", type=Path, help="write a JUnit report")
    parser.add_argument("--json", type=Path, help="write a JSON report")
    parser.add_argument("--markdown", type=Path, help="write a Markdown report")
