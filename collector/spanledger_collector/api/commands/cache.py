"""`spanledger cache invalidate|erase|wrong`: delete kept answers, or say that one was wrong."""

from __future__ import annotations

import argparse
from typing import Any

from .remote import Collector, connect, parser, reported

_FIELDS = {
    "route": "of this route",
    "prompt": "made with this prompt: NAME or NAME@VERSION",
    "corpus": "made with this version of the corpus",
    "tag": "of requests with this tag",
    "query": "to this question, word for word",
    "entry": "this entry",
}


def command(argv: list[str]) -> int:
    """Delete entries of the gateways' cache; 1 when the collector refuses."""
    options_parser = parser("cache", __doc__)
    actions = options_parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    some = actions.add_parser("invalidate", help="delete entries; all that is given must fit")
    for name, meaning in _FIELDS.items():
        some.add_argument(f"--{name}", default="", help=meaning)
    user = actions.add_parser("erase", help="delete all that was kept of one user's calls")
    user.add_argument("user", metavar="USER")
    wrong = actions.add_parser("wrong", help="say that a hit was wrong: its entry is deleted")
    for name in ("entry", "trace_id", "span_id"):
        wrong.add_argument(name, metavar=name.upper())
    wrong.add_argument("--comment", default="", help="why")
    options = options_parser.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _run(collector, options))


def _run(collector: Collector, options: argparse.Namespace) -> int:
    if options.action == "wrong":
        body = {
            "correct": False,
            "trace_id": options.trace_id,
            "span_id": options.span_id,
            "comment": options.comment,
        }
        told = collector.call("POST", f"cache/entries/{options.entry}/verdict", body=body)
        print(
            "the entry is deleted" if told["dropped"] else "the entry was gone already; the verdict is stored"
        )
        return 0
    if options.action == "erase":
        selection: dict[str, Any] = {"user": options.user}
    else:
        selection = {name: value for name in _FIELDS if (value := getattr(options, name))}
    print(f"{collector.call('POST', 'cache/invalidate', body=selection)['deleted']} entries deleted")
    return 0
