"""`spanledger get [KIND [NAME]]`: list documents, or show one as JSON with its history."""

from __future__ import annotations

import json
from typing import Any

from . import show
from .remote import Collector, connect, document_path, parser, reported


def command(argv: list[str]) -> int:
    """Print documents; 1 when there is no such document."""
    options_parser = parser("get", __doc__)
    options_parser.add_argument("kind", nargs="?", metavar="KIND")
    options_parser.add_argument("name", nargs="?", metavar="NAME")
    options_parser.add_argument("--version", type=int, help="an earlier version")
    options_parser.add_argument("--history", action="store_true", help="list the versions of one document")
    options = options_parser.parse_args(argv)
    if options.name is None and (options.history or options.version):
        options_parser.error("--history and --version need KIND and NAME")
    collector = connect(options)
    if options.name is None:
        return reported(lambda: _list(collector, options.kind))
    if options.history:
        return reported(lambda: _history(collector, options.kind, options.name))
    return reported(lambda: _show(collector, options.kind, options.name, options.version))


def _list(collector: Collector, kind: str | None) -> int:
    rows: list[dict[str, Any]] = collector.call("GET", f"registry/{kind}" if kind else "registry")
    for row in rows:
        print(f"{row['kind']:<10} {show.plain(row['name']):<32} version {row['version']:<4} {row['project']}")
    return 0


def _history(collector: Collector, kind: str, name: str) -> int:
    for line in show.versions(collector.call("GET", document_path(kind, name, "/history"))):
        print(line)
    return 0


def _show(collector: Collector, kind: str, name: str, version: int | None) -> int:
    query = {"version": str(version)} if version else {}
    row = collector.call("GET", document_path(kind, name), query)
    print(json.dumps(row["document"], indent=2, sort_keys=True))
    return 0
