"""How fast pages are over many calls: first useful content in a browser, a filter's change, and what a page weighs.

``make bench-dashboards`` (``SPANLEDGER_BENCH_CALLS``, default 10,000,000 model calls of one project in 30 days,
without prompts; ``SPANLEDGER_BENCH_REPEATS``, default 10; ``SPANLEDGER_BENCH_STORE``, the address of a store filled before).
Needs Debian's Chromium. A page's content is there with the first frame that shows it, as the browser itself tells.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Response

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.client import connect
from spanledger_collector.store.migrations import migrate
from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.settings import StoreSettings
from tests.benchmarks.reads.generate import generate
from tests.benchmarks.report import Figure, at_most, report
from tests.browsing import chromium
from tests.servers import answers, command, free_port, listens, spawn, start_engine

KEY = "sl_bootstrap_benchmark"
PROJECT, DAYS = "p0", 30
_FILTERS = {
    "/": "", "/calls": "&status=error", "/sessions": "&order=cost", "/users": "&order=cost", "/cache": "", "/routes": "&route=route-1",
    "/scores": "", "/spend": "&by=feature", "/budgets": "", "/gpu": "", "/events": "&kind=alert", "/rag": "&stale=30",
}  # fmt: skip
CONTENT_S, FILTER_S, WEIGHT_KB = 1.5, 1.0, 300


@contextmanager
def dashboard(url: str, home: Path) -> Generator[str]:
    """`spanledger dashboard` over the store at ``url``."""
    port = free_port()
    env = {
        "SPANLEDGER_HOME": str(home),
        "SPANLEDGER_CLICKHOUSE_URL": url,
        "SPANLEDGER_DASHBOARD_PORT": str(port),
    }
    at = f"http://127.0.0.1:{port}"
    with spawn(command("dashboard"), home / "dashboard.log", answers(f"{at}/healthz"), env):
        yield at


def filled(url: str, calls: int) -> Client:
    """A store with so many model calls; as many spans again belong to their traces."""
    settings = StoreSettings(clickhouse_url=url)
    migrate(settings)
    client = connect(settings, send_receive_timeout=3600)
    generate(client, 2 * calls, time.time_ns(), 0, 0, days=DAYS, projects=1)
    KeyDirectory(Registry(client), bootstrap_key=KEY).refresh()
    return client


def p95(times: list[float]) -> float:
    """The 95th percentile, or the largest of fewer than twenty."""
    return max(times) if len(times) < 20 else statistics.quantiles(times, n=20)[-1]


CONTENT = "#main .page, #main .notice"
AHEAD = "#ahead .page, #ahead .notice"
_WATCH = """
new MutationObserver((_, watching) => {
  if (!document.querySelector("CONTENT")) return;
  watching.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.contentShown = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
""".replace("CONTENT", f"{CONTENT}, {AHEAD}")
"""Milliseconds since the navigation began, taken after the frame that first shows content."""


def first_content(page: Page, address: str, repeats: int) -> list[float]:
    """Seconds from asking for an address to its content, shared assets cached."""
    times: list[float] = []
    for _ in range(repeats):
        page.goto("about:blank")
        page.goto(address, wait_until="commit")
        page.wait_for_selector(CONTENT, timeout=120_000)
        page.wait_for_timeout(700)  # until charts are drawn, which the next page must not wait for
        times.append(float(page.evaluate("window.contentShown")) / 1000)
    return times


def measure(page: Page, at: str, bare: str, repeats: int) -> list[Figure]:
    """Every page: content, a filter's change, weight; beside each a bare Dash page, so that a slow moment shows."""
    page.add_init_script(_WATCH)
    page.goto(f"{at}/?key={KEY}")
    page.wait_for_selector(CONTENT, timeout=120_000)
    figures: list[Figure] = []
    floor: list[float] = []
    for path, search in _FILTERS.items():
        address = f"{at}{path}?project={PROJECT}&range=30d"
        first_content(page, address, 1)  # once unmeasured: the engine's caches are warm as on a working day
        with page.expect_response(_is_content, timeout=120_000) as answer:
            document = page.goto(address)
        weight = len(answer.value.body()) + len(document.body() if document else b"")
        floor += first_content(page, bare, 2)
        figures.append(
            at_most(
                f"{path} first useful content, p95",
                p95(first_content(page, address, repeats)),
                CONTENT_S,
                " s",
            )
        )
        if search:
            changed = first_content(page, address + search, repeats)
            figures.append(at_most(f"{path} with a filter, p95", p95(changed), CONTENT_S, " s"))
            figures.append(
                at_most(
                    f"{path} filter change, p95", p95(_change(page, address, search, repeats)), FILTER_S, " s"
                )
            )
        figures.append(at_most(f"{path} weight", weight / 1000, WEIGHT_KB, " KB", 0))
    return [Figure("a bare Dash page of the same libraries, p95", f"{p95(floor):.2f} s"), *figures]


def _is_content(response: Response) -> bool:
    return "_pages_content" in (response.request.post_data or "")


def _change(page: Page, address: str, search: str, repeats: int) -> list[float]:
    """Seconds from a changed filter in an open page to its new content, as the router draws it."""
    times: list[float] = []
    for _ in range(repeats):
        page.goto(address)
        page.wait_for_selector(CONTENT, timeout=120_000)
        page.wait_for_timeout(700)  # charts are drawn after the content came
        with page.expect_response(_is_content, timeout=120_000) as answer:
            began = time.perf_counter()
            page.evaluate(
                "to => { history.pushState({}, '', to); window.dispatchEvent(new CustomEvent('_dashprivate_pushstate')) }",
                "/" + address.split("/", 3)[3] + search,
            )
        answer.value.finished()
        times.append(time.perf_counter() - began)
    return times


def main() -> int:
    """Measure and report."""
    calls = int(os.environ.get("SPANLEDGER_BENCH_CALLS", "10000000"))
    repeats = int(os.environ.get("SPANLEDGER_BENCH_REPEATS", "10"))
    with (
        tempfile.TemporaryDirectory() as folder,
        _store(Path(folder), calls) as url,
        dashboard(url, Path(folder)) as at,
        _bare(Path(folder)) as bare,
        chromium() as browser,
    ):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(180_000)
        page.set_default_navigation_timeout(180_000)
        return report([Figure("model calls, 30 days", f"{calls:,}"), *measure(page, at, bare, repeats)])


@contextmanager
def _bare(home: Path) -> Generator[str]:
    port = free_port()
    argv = [sys.executable, "-m", "tests.benchmarks.dashboards.bare", str(port)]
    with spawn(argv, home / "bare.log", listens(port)):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def _store(home: Path, calls: int) -> Generator[str]:
    if given := os.environ.get("SPANLEDGER_BENCH_STORE"):
        yield given
        return
    engine = start_engine(home)
    try:
        filled(f"{engine.url}/pages", calls).close()
        yield f"{engine.url}/pages"
    finally:
        engine.server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
