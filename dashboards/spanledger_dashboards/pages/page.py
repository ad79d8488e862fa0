"""A render function in, a page of the app out: its address, its place in the menu, and what happens when it fails."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from dash import html
from dash.development.base_component import Component

from spanledger_dashboards.here import here
from spanledger_dashboards.parts.basic import empty, notice
from spanledger_dashboards.parts.still import still
from spanledger_dashboards.view import BadView, View, view_of

log = logging.getLogger(__name__)

Group = Literal["", "Trace", "Quality", "Money", "Operate"]
Render = Callable[[View], Awaitable[Component]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page. ``path`` may hold ``<name>`` parts, which arrive as filters; a page without ``group`` is in no menu."""

    path: str
    title: str
    render: Render
    group: Group = ""


async def draw(page: Page, query: dict[str, object]) -> Component:
    """The page's content. Every failure becomes a panel with a number that is also in the log."""
    viewer = here().viewer
    admin = frozenset(project for project in viewer.projects if viewer.may_edit(project))
    path = page.path
    for name, value in query.items():
        path = path.replace(f"<{name}>", str(value))
    try:
        view = view_of(path, query, viewer.projects, time.time_ns(), admin=admin)
        return still(await page.render(view))
    except BadView as wrong:
        return html.Div(notice(str(wrong), "amber"))
    except Exception:
        number = secrets.token_hex(4)
        log.exception("page %s failed, number %s", page.path, number)
        return html.Div(
            [
                notice(f"This page could not be drawn. The dashboard's log has the reason under {number}.", "red"),
                empty("The store did not answer as expected", "Check that the engine is up, then load the page again.",
                      "spanledger doctor"),
            ]
        )  # fmt: skip
