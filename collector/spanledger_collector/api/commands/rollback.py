"""`spanledger rollback KIND NAME VERSION`: store an earlier version as the newest."""

from __future__ import annotations

from typing import Any

from .remote import Collector, connect, document_path, parser, reported


def command(argv: list[str]) -> int:
    """Roll one document back; 1 when that version does not exist."""
    options_parser = parser("rollback", __doc__)
    options_parser.add_argument("kind", metavar="KIND")
    options_parser.add_argument("name", metavar="NAME")
    options_parser.add_argument("version", type=int, metavar="VERSION")
    options_parser.add_argument("--note", default="", help="why, for the history")
    options = options_parser.parse_args(argv)
    collector = connect(options)
    body = {"version": options.version, "note": options.note}
    return reported(lambda: _rollback(collector, options.kind, options.name, body))


def _rollback(collector: Collector, kind: str, name: str, body: dict[str, Any]) -> int:
    row = collector.call("POST", document_path(kind, name, "/rollback"), body=body)
    print(f"{kind} {name} is at version {row['version']} (as version {body['version']})")
    return 0
