"""Registry documents of a project, as they stand and as they stood: what pages show of the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.registry import Registry


def documents(client: Client, project: str, kinds: Sequence[str] = ()) -> list[Version]:
    """Current documents of the project and those every project shares; a key's hash is left out."""
    return [_shown(version) for version in Registry(client).list([project, SHARED], kinds)]


def history(client: Client, project: str, kind: str, name: str) -> list[Version]:
    """All versions of one document, newest first; of the shared one where the project has none of that name."""
    registry = Registry(client)
    found = registry.history(project, kind, name) or registry.history(SHARED, kind, name)
    return [_shown(version) for version in found]


def _shown(version: Version) -> Version:
    if version.kind != "key" or "hash" not in version.document:
        return version
    from dataclasses import replace

    return replace(version, document={**version.document, "hash": "(not shown)"})
