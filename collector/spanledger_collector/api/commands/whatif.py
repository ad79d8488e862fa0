"""`spanledger whatif`: the traffic of a window priced on another model, or on a GPU pool of a given size."""

from __future__ import annotations

import argparse
from typing import Any

from .remote import Collector, connect, parser, reported

_OPTIONS = (
    ("since", "7d", "ISO 8601, or an age such as 30d"),
    ("until", "now", "exclusive"),
    ("from-provider", "", "traffic of this provider"),
    ("from-model", "", "traffic of this model"),
    ("team", "", "traffic of this team"),
    ("feature", "", "traffic of this feature"),
    ("provider", "", "whose model to price it on"),
    ("model", "", "which model to price it on"),
    ("gpus", "", "a pool of so many GPUs"),
    ("usd-per-hour", "", "of one GPU"),
    ("input-per-s", "", "tokens a second that one busy GPU reads"),
    ("output-per-s", "", "tokens a second that one busy GPU writes"),
)


def command(argv: list[str]) -> int:
    """Ask and print; 1 when the collector refuses."""
    made = parser("whatif", __doc__)
    for name, default, text in _OPTIONS:
        made.add_argument(f"--{name}", default=default, help=text)
    options = made.parse_args(argv)
    if not options.model and not options.gpus:
        made.error("name a --model to price the traffic on, or a pool by --gpus and its price and speeds")
    collector = connect(options)
    return reported(lambda: _ask(collector, options))


def _ask(collector: Collector, options: argparse.Namespace) -> int:
    names = [name.replace("-", "_") for name, _, _ in _OPTIONS]
    query = {name: str(getattr(options, name)) for name in names if getattr(options, name)}
    body: dict[str, Any] = collector.call("GET", "whatif", query)
    print(
        f"{body['calls']} calls, {body['input_tokens']} tokens in and {body['output_tokens']} out,"
        f" cost {body['cost_now']} USD"
        + (f" ({body['unpriced']} calls unpriced)" if body["unpriced"] else "")
    )
    if body["model"]:
        print(
            f"on {body['model']}: {body['cost_on_model'] or 'unknown: it has no rate for some of these tokens'} USD"
        )
    if body["pool"]:
        _print_pool(body["pool"])
    print("assumed: the same tokens in the same kinds; cached tokens cached alike")
    return 0


def _print_pool(pool: dict[str, Any]) -> None:
    print(f"on the pool: {pool['cost']} USD, busy {pool['busy']:.1%}, needs {pool['needed']} GPUs")
    if pool["break_even"] is None:
        print("break-even: none that the pool could serve")
    else:
        print(f"break-even at {pool['break_even']:.2f} times this traffic, {pool['break_even_calls']} calls")
