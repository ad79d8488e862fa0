"""Current documents of all projects in; the one snapshot that gateways serve from out. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from spanledger.serving.budgets import SHARED_PREFIX
from spanledger.serving.decoding import DecodingError, decode
from spanledger.serving.snapshot import (
    Budget,
    Price,
    ProjectSnapshot,
    Route,
    Snapshot,
    SnapshotKey,
    Upstream,
)

from .documents import SHARED
from .plan import Version

KINDS = ("upstream", "route", "budget", "price", "key")
"""The kinds a snapshot is made of."""

T = TypeVar("T")


def compile_snapshot(documents: Iterable[Version]) -> tuple[Snapshot, list[str]]:
    """Compile the documents, and say which of them could not be read and were left out.

    A project is present when it has a document or a key of its own. Of two documents with one
    name the project's own hides the one in ``*``, but for budgets: those in ``*`` are over all projects together.
    """
    skipped: list[str] = []
    rows = [row for row in documents if row.kind in KINDS]
    keys = _keys([row for row in rows if row.kind == "key"])
    names = {row.project for row in rows if row.kind != "key"} | {key.project for key in keys}
    projects = {name: _project(name, rows, skipped) for name in sorted(names - {SHARED})}
    content = Snapshot(version="", keys=keys, projects=projects)
    digest = hashlib.sha256(content.to_json()).hexdigest()[:32]
    return replace(content, version=digest), sorted(set(skipped))


def _keys(rows: list[Version]) -> tuple[SnapshotKey, ...]:
    """Keys that may use the gateway; the others are no business of its disk."""
    usable = [
        SnapshotKey(
            id=row.name,
            hash=row.document["hash"],
            project=row.document["project"],
            organisation=row.document.get("organisation", ""),
            team=row.document.get("team", ""),
            scopes=tuple(row.document["scopes"]),
            requests_per_minute=row.document.get("requests_per_minute"),
            tokens_per_minute=row.document.get("tokens_per_minute"),
        )
        for row in rows
        if "gateway" in row.document["scopes"] and not row.document.get("revoked")
    ]
    return tuple(sorted(usable, key=lambda key: (key.project, key.id, key.hash)))


def _project(project: str, rows: list[Version], skipped: list[str]) -> ProjectSnapshot:
    # Shared documents first, so that the project's own of the same name replaces them.
    mine = [row for row in rows if row.project == SHARED] + [row for row in rows if row.project == project]
    return ProjectSnapshot(
        upstreams=_named("upstream", Upstream, mine, skipped),
        routes=_named("route", Route, mine, skipped),
        budgets=_named("budget", Budget, mine, skipped),
        prices=tuple(_named("price", Price, mine, skipped).values()),
    )


def _named(kind: str, into: type[T], rows: list[Version], skipped: list[str]) -> dict[str, T]:
    found: dict[str, T] = {}
    for row in rows:
        if row.kind != kind:
            continue
        try:
            found[_name(row)] = decode(into, _values(row))
        except DecodingError as wrong:
            skipped.append(f"{row.project}/{kind}/{row.name}@{row.version}: {wrong}")
    return dict(sorted(found.items()))


def _name(row: Version) -> str:
    return f"{SHARED_PREFIX}{row.name}" if row.kind == "budget" and row.project == SHARED else row.name


def _values(row: Version) -> dict[str, Any]:
    if row.kind == "upstream":
        return {
            **row.document,
            "provider": row.document.get("provider") or row.document.get("protocol", "openai"),
        }
    if row.kind == "budget" and row.project == SHARED:
        return {**row.document, "project": SHARED}
    if row.kind == "price":
        return {**row.document, "name": row.name, "version": row.version}
    return row.document
