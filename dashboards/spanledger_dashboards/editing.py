"""A changed document and its author in; a new version, or every reason why not, out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.clickhouse import EngineError
from spanledger_collector.store.registry.errors import ConflictError, DocumentError, InUseError, NotFoundError
from spanledger_collector.store.registry.plan import Draft

from .here import here
from .parts.basic import notice
from .text import line
from .view import View

ACCESS_KINDS = frozenset({"key", "member"})
"""Documents that say who may do what: an editor who changed them could become more than an editor."""


def may_edit(project: str, kind: str) -> bool:
    """Whether this request's viewer may change documents of the kind here; access is given by `spanledger` alone."""
    return kind not in ACCESS_KINDS and here().viewer.may_edit(project)


async def save(view: View, base: dict[str, Any], text: str, note: str) -> Component:
    """Store the document; what went wrong is said to the reader in full."""
    editor, key = here().store.editor, here().viewer.key_of(view.project)
    if editor is None or key is None or not may_edit(view.project, str(base.get("kind"))):
        return notice("Your key may not change documents here.", "red")
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        return notice(f"This is no JSON: {line(str(wrong), 200)}", "red")
    draft = Draft(
        kind=str(base["kind"]), name=str(base["name"]), document=document, base_version=int(base["version"])
    )
    try:
        stored = await asyncio.to_thread(editor.put, view.project, draft, f"key {key.id}", note[:500])
    except DocumentError as wrong:
        return html.Div([notice(line(str(problem), 300), "red") for problem in wrong.problems[:10]])
    except ConflictError:
        return notice(
            "Somebody changed this document meanwhile. Load the page again and look at their version first.",
            "red",
        )
    except (InUseError, NotFoundError) as wrong:
        return notice(line(str(wrong), 300), "red")
    except EngineError:
        return notice("The store did not take it. Check that the engine is up, then save again.", "red")
    if stored.version == base["version"]:
        return notice("Nothing differs from the version that stands.", "blue")
    return notice(f"Saved as version {stored.version}. Load the page again to see it.", "green")
