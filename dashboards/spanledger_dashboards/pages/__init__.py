"""The pages, one module each, in the order of the menu."""

from __future__ import annotations

from . import calls, events, overview, spend, trace
from .page import Page

PAGES: tuple[Page, ...] = (overview.PAGE, calls.PAGE, trace.PAGE, spend.PAGE, events.PAGE)
