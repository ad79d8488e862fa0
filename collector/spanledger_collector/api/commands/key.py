"""`spanledger key create|revoke|list`: keys of a project; a secret is made here and shown once."""

from __future__ import annotations

import argparse
import sys
from typing import Any, get_args

from spanledger_collector.store.registry.fields import Scope
from spanledger_collector.store.registry.keys import new_key

from . import show
from .remote import Collector, connect, document_path, parser, reported


def command(argv: list[str]) -> int:
    """Make, revoke or list keys; the secret of a new key is all that is printed to stdout."""
    options_parser = parser("key", __doc__)
    actions = options_parser.add_subparsers(dest="action", required=True, metavar="create|revoke|list")
    create = actions.add_parser("create", help="make a key")
    create.add_argument("--scope", action="append", choices=get_args(Scope), required=True)
    create.add_argument("--organisation", default="")
    create.add_argument("--team", default="")
    create.add_argument("--for-project", metavar="PROJECT", help="with --project '*': whose calls it writes")
    create.add_argument("--note", default="", help="what it is for")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", metavar="ID")
    actions.add_parser("list", help="list keys")
    options = options_parser.parse_args(argv)
    collector = connect(options)
    action = {"create": _create, "revoke": _revoke, "list": _list}[options.action]
    return reported(lambda: action(collector, options))


def _create(collector: Collector, options: argparse.Namespace) -> int:
    key = new_key()
    document: dict[str, Any] = {"hash": key.hash, "scopes": options.scope}
    if options.organisation:
        document["organisation"] = options.organisation
    if options.team:
        document["team"] = options.team
    if options.for_project:
        document["project"] = options.for_project
    body = {"document": document, "note": options.note, "base_version": 0}
    row = collector.call("PUT", document_path("key", key.id), body=body)
    stored = row["document"]
    print(
        f"key {key.id} of project {stored['project']}: {', '.join(stored['scopes'])}. "
        "This is the only time its secret is shown:",
        file=sys.stderr,
    )
    print(key.secret)
    return 0


def _revoke(collector: Collector, options: argparse.Namespace) -> int:
    path = document_path("key", options.id)
    row = collector.call("GET", path)
    document = {**row["document"], "revoked": True}
    collector.call(
        "PUT", path, body={"document": document, "base_version": row["version"], "note": "revoked"}
    )
    print(f"key {options.id} is revoked; it is refused within 2 s")
    return 0


def _list(collector: Collector, _: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = collector.call("GET", "registry/key")
    for row in rows:
        document = row["document"]
        state = "revoked" if document.get("revoked") else "usable"
        team = show.plain(document.get("team") or "-")
        print(
            f"{show.plain(row['name']):<16} {state:<8} {team:<16} {','.join(document['scopes']):<28} {row['note']}"
        )
    return 0
