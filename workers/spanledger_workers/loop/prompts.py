"""A prompt's history and a label in; the version the label stood for before, and the document that restores it, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spanledger_collector.store.registry.plan import Version

BY_WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Release:
    """What a label stands for now, what it stood for before, and the moment (ns) it was moved."""

    version: int
    before: int
    moved_at: int


def newest_release(history: Sequence[Version], label: str) -> Release | None:
    """The last move of the label; ``history`` is newest first. None where it never moved, or a worker moved it last.

    A prompt without the label is used in its newest version, so there every new version is a move.
    """
    alive = [row for row in history if not row.deleted]
    if not alive or alive[0].version != history[0].version:
        return None
    now = _stands_for(alive[0], label)
    mover = alive[0]
    for row in alive[1:]:
        before = _stands_for(row, label)
        if before != now:
            if mover.author == BY_WORKER:
                return None
            return Release(version=now, before=before, moved_at=mover.time)
        mover = row
    return None


def restored(newest: Version, label: str, version: int) -> dict[str, Any]:
    """The prompt's document with the label on that version."""
    return {**newest.document, "labels": {**newest.document.get("labels", {}), label: version}}


def _stands_for(row: Version, label: str) -> int:
    return int(row.document.get("labels", {}).get(label, row.version))
