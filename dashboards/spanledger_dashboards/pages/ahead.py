"""The address of a document in; its page, drawn while the browser still starts its scripts, out.

A browser asks for the document first and for the page's content half a second later. Drawing begins with the first; the
second takes what is there. Nothing is kept for a third: every page is as new as its document. The document itself holds
the page's HTML, which is looked at until the page runs.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from urllib.parse import parse_qs

from dash.development.base_component import Component

from spanledger_dashboards.addresses import address_pattern
from spanledger_dashboards.here import here
from spanledger_dashboards.parts.markup import markup
from spanledger_dashboards.session import Viewer

from .page import Page, draw

log = logging.getLogger(__name__)

Query = dict[str, object]
_Asked = tuple[Viewer, str, str]

KEPT_S = 10.0
SHOWN_WITHIN_S = 3.0
LARGEST = 200_000
"""Characters of HTML that are sent ahead at most."""
MOST = 32
"""Pages that are begun and not yet asked for; the oldest makes room."""


class Ahead:
    """Pages that were begun, each for the viewer whose request it was, and taken once."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._patterns = [(re.compile(address_pattern(page.path, named=True)), page) for page in pages]
        self._begun: dict[_Asked, tuple[float, asyncio.Task[Component]]] = {}

    def begin(self, path: str, search: str) -> asyncio.Task[str] | None:
        """Draw the page of an address for this request's viewer: HTML to show until the page runs; None where no page is."""
        for pattern, page in self._patterns:
            if found := pattern.fullmatch(path):
                asked = parse_qs(search, keep_blank_values=True)  # as the router reads it
                query = {name: values[0] if len(values) == 1 else values for name, values in asked.items()}
                return asyncio.create_task(_shown(self._kept(page, {**found.groupdict(), **query})))
        return None

    async def take(self, page: Page, query: Query) -> Component:
        """The page, as it was begun or drawn now."""
        begun = self._begun.pop(_asked(page, query), None)
        if begun is None or time.monotonic() - begun[0] > KEPT_S:
            return await draw(page, query)
        return await begun[1]

    def _kept(self, page: Page, query: Query) -> asyncio.Task[Component]:
        now = time.monotonic()
        for asked, (at, task) in list(self._begun.items()):
            if now - at > KEPT_S or len(self._begun) >= MOST:
                task.cancel()
                del self._begun[asked]
        task = asyncio.create_task(draw(page, query))
        self._begun[_asked(page, query)] = (now, task)
        return task


async def _shown(drawn: asyncio.Task[Component]) -> str:
    """The page's HTML; empty where it takes too long, is too much or cannot be written: the page itself comes anyway."""
    await asyncio.wait({drawn}, timeout=SHOWN_WITHIN_S)
    if not drawn.done() or drawn.cancelled():
        return ""
    try:
        html = markup(drawn.result())
    except Exception:
        log.exception("a page could not be written as HTML")
        return ""
    return f'<div id="ahead" inert aria-hidden="true">{html}</div>' if len(html) <= LARGEST else ""


def _asked(page: Page, query: Query) -> _Asked:
    return here().viewer, page.path, repr(sorted(query.items()))
