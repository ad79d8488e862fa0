"""The registry over its append-only table: drafts in, versions out; a change is never an update.

Writers race without locks: each inserts the next version under a token made of its address, the
engine keeps the first insert of a token, and each writer reads back whether the kept row is its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import ask, ask_one

from .documents import SHARED
from .errors import ConflictError, DocumentError, InUseError, NotFoundError, Problem
from .plan import Address, Change, Draft, Version, plan, references

Announce = Callable[[str, str, str], None]
"""Called with project, kind and name after a change is stored; must not raise."""

ATTEMPTS = 5
"""How often a change without base version is tried again when others win the race."""

_COLUMNS = ("project", "kind", "name", "version", "document", "deleted", "author", "time", "note")
_SELECT = (
    "SELECT project, kind, name, version, document, deleted, author, toUnixTimestamp64Nano(registry.time) AS time, note"
    " FROM registry"
)
_ONE_DOCUMENT = " WHERE project = {project:String} AND kind = {kind:String} AND name = {name:String}"
# Two rows of one version can only come from a race older than the deduplication window: the first wins.
_NEWEST = " ORDER BY project, kind, name, version DESC, registry.time LIMIT 1 BY project, kind, name"


def _silence(_project: str, _kind: str, _name: str) -> None:
    """Announce nothing."""


class Registry:
    """Versioned documents of all projects. Threads may share one.

    Every method raises ``clickhouse_connect.driver.exceptions.Error`` when the engine is away.
    """

    def __init__(
        self, client: Client, announce: Announce = _silence, clock: Callable[[], int] = time.time_ns
    ) -> None:
        """Work through ``client``, a writer's; ``clock`` gives ns since the epoch."""
        self.client, self._announce, self._clock = client, announce, clock

    def get(self, project: str, kind: str, name: str, version: int | None = None) -> Version:
        """The current version of a document, or the one asked for.

        Raises:
            NotFoundError: there is none, or it is deleted and no version was asked for.
        """
        found = self._read(
            _ONE_DOCUMENT
            + (" AND version = {version:UInt32}" if version is not None else "")
            + " ORDER BY version DESC, registry.time LIMIT 1",
            {"project": project, "kind": kind, "name": name, "version": version or 0},
        )
        if not found or (version is None and found[0].deleted):
            which = f"version {version} of " if version is not None else ""
            raise NotFoundError(f"there is no {which}{kind} {name!r} in project {project!r}")
        return found[0]

    def history(self, project: str, kind: str, name: str) -> list[Version]:
        """All versions of a document, newest first; empty when it never was."""
        return self._read(
            _ONE_DOCUMENT + " ORDER BY version DESC, registry.time LIMIT 1 BY version",
            {"project": project, "kind": kind, "name": name},
        )

    def list(self, projects: Iterable[str], kinds: Iterable[str] = ()) -> list[Version]:
        """Current documents of the projects, in order of project, kind and name; all kinds when none is named."""
        return [row for row in self._newest(projects, kinds) if not row.deleted]

    def list_all(self, kinds: Iterable[str]) -> list[Version]:
        """Current documents of these kinds in every project."""
        rows = self._read(
            " WHERE kind IN {kinds:Array(String)}" + _NEWEST,
            {"kinds": list(kinds)},
        )
        return [row for row in rows if not row.deleted]

    def revision(self) -> int:
        """A number that grows with every change anywhere; cheap to ask for."""
        return int(ask_one(self.client, "SELECT count() AS n FROM registry", {})["n"])

    def plan(self, project: str, drafts: Sequence[Draft]) -> list[Change]:
        """What ``apply`` would do; writes nothing. Raises as ``apply`` does."""
        newest = self._newest([project, SHARED], ())
        current = {row.address: row for row in newest if row.project == project}
        shared = [row.address for row in newest if row.project == SHARED and not row.deleted]
        changes = plan(project, drafts, current, shared)
        self._refuse_known_hashes(project, changes)
        return changes

    def apply(self, project: str, drafts: Sequence[Draft], author: str, note: str = "") -> list[Change]:
        """Bring the documents into the drafts' state; all are checked before the first is written.

        Raises:
            DocumentError: with every problem of every draft.
            ConflictError: a ``base_version`` is not current, or others keep winning the race.
        """
        changes = self.plan(project, drafts)
        bases = {(draft.kind, draft.name): draft.base_version for draft in drafts}
        return [
            change
            if change.action == "none"
            else self._settle(project, change, bases[change.kind, change.name], author, note)
            for change in changes
        ]

    def put(self, project: str, draft: Draft, author: str, note: str = "") -> Version:
        """Store one document as a new version; the same document again changes nothing."""
        (change,) = self.apply(project, [draft], author, note)
        return self.get(project, draft.kind, draft.name, change.version)

    def rollback(self, project: str, kind: str, name: str, to: int, author: str, note: str = "") -> Version:
        """Store an earlier version's document as the newest.

        Raises:
            NotFoundError: that version does not exist or was a deletion.
        """
        old = self.get(project, kind, name, to)
        if old.deleted:
            raise NotFoundError(f"version {to} of {kind} {name!r} is its deletion: choose another version")
        draft = Draft(kind=kind, name=name, document=old.document)
        return self.put(project, draft, author, note or f"rollback to version {to}")

    def delete(
        self, project: str, kind: str, name: str, author: str, note: str = "", base_version: int | None = None
    ) -> Version:
        """Store the document's deletion as a new version.

        Raises:
            InUseError: other documents refer to it.
        """
        now = self.get(project, kind, name)
        if base_version is not None and base_version != now.version:
            raise ConflictError(kind, name, now.version, base_version)
        users = self._users(project, (kind, name))
        if users:
            raise InUseError(kind, name, users)
        gone = self._row(project, kind, name, now.version + 1, {}, author, note, deleted=True)
        if not self._insert(gone):
            raise ConflictError(kind, name, gone.version, now.version)
        return gone

    def _settle(self, project: str, change: Change, base: int | None, author: str, note: str) -> Change:
        version = change.version
        for _ in range(ATTEMPTS):
            if self._insert(
                self._row(project, change.kind, change.name, version, change.document, author, note)
            ):
                return replace(change, version=version)
            newest = self.history(project, change.kind, change.name)[0].version
            if base is not None:
                raise ConflictError(change.kind, change.name, newest, base)
            version = newest + 1
        raise ConflictError(change.kind, change.name, version - 1, None)

    def _row(
        self,
        project: str,
        kind: str,
        name: str,
        version: int,
        document: dict[str, Any],
        author: str,
        note: str,
        deleted: bool = False,
    ) -> Version:
        return Version(
            project=project,
            kind=kind,
            name=name,
            version=version,
            document=document,
            deleted=deleted,
            author=author,
            time=self._clock(),
            note=note,
        )

    def _insert(self, row: Version) -> bool:
        """Insert a version; False when another writer's row of that version stands."""
        token = json.dumps([row.project, row.kind, row.name, row.version])
        document = json.dumps(row.document, ensure_ascii=False, sort_keys=True)
        values = [row.project, row.kind, row.name, row.version, document, row.deleted, row.author]
        self.client.insert(
            "registry",
            [[*values, row.time, row.note]],
            column_names=_COLUMNS,
            settings={"insert_deduplication_token": token, "async_insert": 0},
        )
        stored = self._read(
            _ONE_DOCUMENT + " AND version = {version:UInt32} ORDER BY registry.time LIMIT 1",
            {"project": row.project, "kind": row.kind, "name": row.name, "version": row.version},
        )
        if stored != [row]:
            return False
        self._announce(row.project, row.kind, row.name)
        return True

    def _users(self, project: str, address: Address) -> list[str]:
        rows = self.list_all(["route", "gpu_pool", "evaluator"])
        return [
            f"{row.kind} {row.name!r}" + (f" of project {row.project!r}" if row.project != project else "")
            for row in rows
            if project in (row.project, SHARED)
            and any(target == address for _, target in references(row.kind, row.document))
        ]

    def _refuse_known_hashes(self, project: str, changes: Iterable[Change]) -> None:
        """A hash belongs to one key: else whoever knows a key's hash could draw its calls to their project."""
        mine = {change.document["hash"]: change for change in changes if change.kind == "key"}
        if not mine:
            return
        problems = [
            Problem("key", mine[row.document["hash"]].name, ("hash",), "another key has this hash")
            for row in self.list_all(["key"])
            if row.document["hash"] in mine
            and (row.project, row.name) != (project, mine[row.document["hash"]].name)
        ]
        if problems:
            raise DocumentError(problems)

    def _newest(self, projects: Iterable[str], kinds: Iterable[str]) -> list[Version]:
        wanted = list(kinds)
        where = " WHERE project IN {projects:Array(String)}"
        where += " AND kind IN {kinds:Array(String)}" if wanted else ""
        return self._read(where + _NEWEST, {"projects": list(projects), "kinds": wanted})

    def _read(self, clauses: str, parameters: dict[str, Any]) -> list[Version]:
        rows = ask(self.client, _SELECT + clauses, parameters)
        return [Version(**{**row, "document": json.loads(row["document"])}) for row in rows]
