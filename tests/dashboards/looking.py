"""What a page looks like, coarsely: a thumbnail of its screenshot, compared with the one that people agreed to.

Thumbnails are grey and so small that other data, dates and fonts leave most of their cells as they were (measured: at most 28 %
change, on most pages none), while a page that lost its style, its scheme or its navigation changes 40 % and more. ``SPANLEDGER_NEW_LOOKS=1`` writes new ones instead of comparing; look at
``looks/`` before they are committed.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

LOOKS = Path(__file__).parent / "looks"
CELLS = (48, 30)
TOO_FAR = 4
"""Of 255: two greys that differ by more differ."""
ALLOWED = 0.35
"""Share of cells that may differ."""


def thumbnail(screenshot: bytes) -> Image.Image:
    """A screenshot as a few grey cells."""
    return Image.open(io.BytesIO(screenshot)).convert("L").resize(CELLS, Image.Resampling.BOX)


def fits(page: Page) -> bool:
    """Whether a page is no wider than its window, once charts followed a change of it."""
    try:
        page.wait_for_function(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth", timeout=10_000
        )
    except PlaywrightTimeout:
        return False
    return True


def settled(page: Page, tries: int = 30) -> Image.Image:
    """The thumbnail of a page once its charts are drawn and nothing moves any more: both come after the content."""
    page.wait_for_function(
        "[...document.querySelectorAll('.dash-graph')].every(graph => graph.querySelector('.main-svg'))"
    )
    before = _seen(page)
    for _ in range(tries):
        page.wait_for_timeout(60)
        now = _seen(page)
        if ImageChops.difference(before, now).getbbox() is None:
            break
        before = now
    return before


def _seen(page: Page) -> Image.Image:
    return thumbnail(page.screenshot(animations="disabled", type="jpeg", quality=60))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Share of cells whose greys differ by more than ``TOO_FAR``."""
    counts = ImageChops.difference(one, other).histogram()
    return sum(counts[TOO_FAR + 1 :]) / (CELLS[0] * CELLS[1])


def agreed(path: str, variant: str, seen: Image.Image) -> str:
    """What is wrong with the look of a page; empty when nothing is.

    ``variant`` names scheme and width. Raises FileNotFoundError for a page that nobody agreed to yet.
    """
    name = re.sub(r"\W+", "-", path).strip("-") or "overview"
    file = LOOKS / f"{name}.{variant}.png"
    if os.environ.get("SPANLEDGER_NEW_LOOKS"):
        LOOKS.mkdir(exist_ok=True)
        seen.save(file, optimize=True)
    share = difference(Image.open(file), seen)
    if share <= ALLOWED:
        return ""
    return f"{path} ({variant}): {share:.0%} of the cells of its thumbnail differ from {file.name}"
