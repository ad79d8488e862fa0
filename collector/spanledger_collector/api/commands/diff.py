"""`spanledger diff KIND NAME BEFORE [AFTER]`: the values in which two versions differ."""

from __future__ import annotations

from . import show
from .remote import Collector, connect, document_path, parser, reported


def command(argv: list[str]) -> int:
    """Print one line a difference; 1 when a version does not exist."""
    options_parser = parser("diff", __doc__)
    options_parser.add_argument("kind", metavar="KIND")
    options_parser.add_argument("name", metavar="NAME")
    options_parser.add_argument("before", type=int, metavar="BEFORE", help="version")
    options_parser.add_argument(
        "after", type=int, nargs="?", metavar="AFTER", help="version (default: current)"
    )
    options = options_parser.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _diff(collector, options.kind, options.name, options.before, options.after))


def _diff(collector: Collector, kind: str, name: str, before: int, after: int | None) -> int:
    query = {"before": str(before), **({"after": str(after)} if after else {})}
    for line in show.differences(collector.call("GET", document_path(kind, name, "/diff"), query)):
        print(line)
    return 0
