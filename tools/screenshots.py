"""The README's pictures, made anew: runs the demo, waits until its story is told, photographs four pages."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page  # noqa: E402

from tests.browsing import Visit, chromium  # noqa: E402
from tests.e2e.stack import Stack, running, until  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
SIZE = {"width": 1280, "height": 1000}
STORY_LIMIT_S = 300
SWITCHES = "SELECT state FROM events FINAL WHERE kind = 'route_switch'"
WORST = """
    SELECT lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span FROM scores FINAL
    WHERE value IS NOT NULL AND route = 'assistant' ORDER BY value LIMIT 1
"""
SHOWN = """
    SELECT formatDateTime(min(start_time) - 5, '%FT%TZ') AS first,
           formatDateTime(max(start_time) + 5, '%FT%TZ') AS last FROM spans
"""


def main() -> int:
    """Make every picture; the data is the demo's, so the figures on them are real."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _demo(Path(folder)) as stack:
        print("the demo is running; its story takes about three minutes", flush=True)
        until(lambda: stack.said("that was the story"), STORY_LIMIT_S, "the end of the story")
        stack.rows_until(2, SWITCHES, 60)
        with chromium() as browser:
            context = browser.new_context(viewport=SIZE, color_scheme="light")  # pyright: ignore[reportArgumentType]
            visit = Visit(context.new_page(), stack.url("dashboard"))
            visit.open(f"/?key={stack.key}")
            for name, path in _pages(stack).items():
                _picture(visit.open(path), name)
            context.close()
    return 0


def _demo(folder: Path) -> AbstractContextManager[Stack]:
    """On our own questions: other people's texts do not go into the repository, not as pictures either."""
    return running(folder / "home", "--demo", SPANLEDGER_DEMO_DATA="own")


def _pages(stack: Stack) -> dict[str, str]:
    worst, shown = stack.rows(WORST)[0], stack.rows(SHOWN)[0]
    window = urlencode({"from": shown["first"], "to": shown["last"]})
    return {
        "overview": f"/?{window}",
        "call": f"/traces/{worst['trace']}?span={worst['span']}&{window}",
        "spend": f"/spend?{window}",
        "alerts": f"/events?{window}",
    }


def _picture(page: Page, name: str) -> None:
    page.wait_for_timeout(1500)  # charts draw themselves in
    path = OUT / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
