"""A real browser for tests: Debian's Chromium, and tabs that note what went wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Generator[Browser]:
    """Debian's Chromium, headless, quiet and with nothing to say to the outside."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@dataclass
class Visit:
    """A browser tab that notes what went wrong: console errors, page errors, requests to the outside, dialogs."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("request", self._request)
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))

    def open(self, path: str) -> Page:
        """Load an address and wait until the page is drawn."""
        self.page.goto(self.base + path)
        self.drawn()
        return self.page

    def follow(self, link: Locator, address: str) -> None:
        """Press a link until the page is there: a press while the page is drawn anew is lost."""
        for last in (False, False, True):
            link.click()
            try:
                self.page.wait_for_url(address, timeout=30_000 if last else 8_000)
                break
            except PlaywrightTimeout:
                if last:
                    raise
        self.drawn()

    def drawn(self) -> None:
        """Wait until the page is there and nothing is loading."""
        self.page.wait_for_selector("#main .page, #main .notice", timeout=30_000)
        expect(self.page.locator("[data-dash-is-loading=true]")).to_have_count(0, timeout=30_000)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(
                f"console {message.type}: {message.text} ({message.location.get('url', '')})"
            )

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.problems.append(f"request to the outside: {request.url}")
