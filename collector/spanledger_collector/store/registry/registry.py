"""The registry over its append-only table: drafts in, versions out; a change is never an update.

Writers race without locks. A change of any number of documents is one insert, whose token is the project and how many
versions it held when the change was planned: of two changes planned on one state the engine keeps the first, whole,
and the other writer, who reads back that its rows are not there, plans anew on the new state.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import ask, ask_one

from .documents import SHARED
from .errors import ConflictError, DocumentError, InUseError, NotFoundError, Problem
from .plan import Address, Change, Draft, Version, plan, references

T = TypeVar("T")
Announce = Callable[[str, str, str], None]
"""Called with project, kind and name after a change is stored; must not raise."""

ATTEMPTS = 50
"""How often a change is planned when others win the race; each time one of them has."""
_LONGEST_PAUSE_S = 0.05

_COLUMNS = ("project", "kind", "name", "version", "document", "deleted", "author", "time", "note")
_SELECT = (
    "SELECT project, kind, name, version, document, deleted, author, toUnixTimestamp64Nano(registry.time) AS time, note"
    " FROM registry"
)
_ONE_DOCUMENT = " WHERE project = {project:String} AND kind = {kind:String} AND name = {name:String}"
# Two rows of one version can only come from a race older than the deduplication window: the first wins.
_NEWEST = " ORDER BY project, kind, name, version DESC, registry.time LIMIT 1 BY project, kind, name"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True)


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
        """Bring the documents into the drafts' state: all of them or, when anything is wrong, none.

        Raises:
            DocumentError: with every problem of every draft.
            ConflictError: a ``base_version`` is not current, or others keep winning the race.
        """

        def planned() -> tuple[list[Change], list[Version]]:
            changes = self.plan(project, drafts)
            rows = [
                self._row(project, change.kind, change.name, change.version, change.document, author, note)
                for change in changes
                if change.action != "none"
            ]
            return changes, rows

        return self._store(project, planned)

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

        def planned() -> tuple[Version, list[Version]]:
            now = self.get(project, kind, name)
            if base_version is not None and base_version != now.version:
                raise ConflictError(kind, name, now.version, base_version)
            users = self._users(project, (kind, name))
            if users:
                raise InUseError(kind, name, users)
            gone = self._row(project, kind, name, now.version + 1, {}, author, note, deleted=True)
            return gone, [gone]

        return self._store(project, planned)

    def _store(self, project: str, planned: Callable[[], tuple[T, list[Version]]]) -> T:
        """Plan and insert until no other change came between the two."""
        attempt = 0
        while True:
            state = self._state(project)  # before the plan: a later change makes the token an old one
            outcome, rows = planned()
            if not rows or self._insert(project, state, rows):
                return outcome
            attempt += 1
            if attempt == ATTEMPTS:
                raise ConflictError(rows[0].kind, rows[0].name, rows[0].version, None)
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.002 * 2**attempt)))

    def _state(self, project: str) -> int:
        """A number that each change of the project makes larger."""
        return int(
            ask_one(
                self.client,
                "SELECT count() AS n FROM registry WHERE project = {project:String}",
                {"project": project},
            )["n"]
        )

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

    def _insert(self, project: str, state: int, rows: Sequence[Version]) -> bool:
        """Insert versions, all or none; False when another change of the same state stands."""
        values = [
            [
                row.project,
                row.kind,
                row.name,
                row.version,
                _json(row.document),
                row.deleted,
                row.author,
                row.time,
                row.note,
            ]
            for row in rows
        ]
        token = json.dumps(["registry", project, state])
        settings = {"insert_deduplication_token": token, "async_insert": 0}
        self.client.insert("registry", values, column_names=_COLUMNS, settings=settings)
        first = rows[0]
        stored = self._read(
            _ONE_DOCUMENT + " AND version = {version:UInt32} ORDER BY registry.time LIMIT 1",
            {"project": project, "kind": first.kind, "name": first.name, "version": first.version},
        )
        if stored != [first]:
            return False
        for row in rows:
            self._announce(row.project, row.kind, row.name)
        return True

    def _users(self, project: str, address: Address) -> list[str]:
        rows = self.list_all(["route", "gpu_pool", "evaluator", "regression"])
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
