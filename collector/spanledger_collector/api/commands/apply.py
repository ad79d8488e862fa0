"""`spanledger apply FILE.toml...`: bring the registry into the state that files describe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from . import show
from .remote import Collector, RemoteError, connect, parser, reported
from .toml_files import FileDocument, TomlFileError, read


def command(argv: list[str]) -> int:
    """Apply the files; 0 when the registry is as they say, 1 when it refused, 2 for a wrong file."""
    options_parser = parser("apply", __doc__)
    options_parser.add_argument("files", nargs="+", metavar="FILE.toml")
    options_parser.add_argument(
        "--dry-run", action="store_true", help="show what would change; write nothing"
    )
    options_parser.add_argument("--note", default="", help="why, for the history")
    options = options_parser.parse_args(argv)
    try:
        documents = [document for file in options.files for document in read(file)]
    except TomlFileError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    collector = connect(options)
    return reported(lambda: apply(collector, documents, options.project, options.note, options.dry_run))


def apply(
    collector: Collector, documents: list[FileDocument], project: str | None, note: str, dry_run: bool
) -> int:
    """Send the documents, project by project, and print what changed or where they are wrong."""
    query = {"dry_run": "true"} if dry_run else {}
    changes: list[dict[str, Any]] = []
    for owner in dict.fromkeys(project or document.project for document in documents):
        mine = [document for document in documents if (project or document.project) == owner]
        body = {
            "documents": [
                {"kind": entry.kind, "name": entry.name, "document": entry.document} for entry in mine
            ],
            "note": note,
        }
        target = {**query, "project": owner} if owner else query
        try:
            changes += collector.call("POST", "registry/apply", target, body)
        except RemoteError as refused:
            return _refused(refused, mine)
    for line in show.changes(changes):
        print(line)
    print(show.summary(changes) + (" (dry run: nothing was written)" if dry_run else ""))
    return 0


def _refused(refused: RemoteError, documents: Iterable[FileDocument]) -> int:
    at = {(entry.kind, entry.name): entry for entry in documents}
    placed = [error for error in refused.errors if (error.get("kind"), error.get("name")) in at]
    if not placed:
        raise refused
    for error in placed:
        document = at[error["kind"], error["name"]]
        where = document.where(tuple(error["location"]))
        path = f"{error['path']}: " if error["path"] else ""
        print(f"{where}: {error['kind']} {error['name']!r}: {path}{error['message']}", file=sys.stderr)
    print(f"error: {refused}", file=sys.stderr)
    return 1
