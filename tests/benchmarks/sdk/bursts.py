"""20,000 spans flat out while things go wrong: how many arrive in the end, and what it takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
COUNT = 20_000
PAYLOAD = "3500"


@contextmanager
def sink(port: int = 0, delay_s: float = 0.0) -> Generator[str]:
    """A collector stand-in as a process; gives its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.sdk.sink", str(port), str(delay_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def counted(url: str, wanted: int, timeout_s: float) -> dict[str, int]:
    """What the sink has once it has enough, or when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        with urllib.request.urlopen(f"{url}/count", timeout=60) as answer:
            found: dict[str, int] = json.loads(answer.read())
        if found["distinct"] >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def environment(url: str, home: str) -> dict[str, str]:
    """Settings of the application under test."""
    return {**os.environ, "SPANLEDGER_ENDPOINT": url, "SPANLEDGER_HOME": home, "APPS_PAYLOAD": PAYLOAD}


def run_app(way: str, url: str, home: str, count: int = COUNT) -> float:
    """Run an application that ends in this way; seconds it took."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "tests.sdk.apps", way, str(count)],
        cwd=ROOT, env=environment(url, home), check=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    return time.monotonic() - started


def lost_at_exit(way: str) -> int:
    """Spans that did not arrive, with a collector that is there."""
    with sink() as url, tempfile.TemporaryDirectory() as home:
        run_app(way, url, home)
        return COUNT - counted(url, COUNT, 60)["distinct"]


def lost_while_down() -> int:
    """Spans that did not arrive once a collector that was away is back."""
    with sink() as url:
        port = int(url.rpartition(":")[2])
    with tempfile.TemporaryDirectory() as home:
        run_app("kill_9", url, home)
        with sink(port) as back:
            return COUNT - counted(back, COUNT, 60)["distinct"]


def lost_while_slow() -> tuple[int, float]:
    """Spans that did not arrive at a collector that takes 2 s for each answer; and seconds until exit."""
    with sink(delay_s=2.0) as url, tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        run_app("plain", url, home)
        took_s = time.monotonic() - started
        return COUNT - counted(url, COUNT, 150)["distinct"], took_s


def exit_while_hanging_s() -> float:
    """How long leaving takes while the collector never answers, above the same without any collector."""
    with sink(delay_s=3600) as url, tempfile.TemporaryDirectory() as home:
        hanging = run_app("plain", url, home, 100)
    with tempfile.TemporaryDirectory() as home:
        return hanging - run_app("os_exit", "http://127.0.0.1:9", home, 100)


def lost_with_gunicorn(requests: int = 2000) -> int:
    """Spans of a preloaded application in three workers that did not arrive; the workers are killed."""
    with sink() as url, tempfile.TemporaryDirectory() as home:
        Path(home, "shop.py").write_text(
            "import spanledger\nspanledger.init()\n@spanledger.observe\ndef app(environ, start_response):\n"
            "    start_response('200 OK', [('content-length', '2')])\n    return [b'ok']\n"
        )
        port = int(url.rpartition(":")[2]) + 1
        command = [
            sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", f"127.0.0.1:{port}",
            "--chdir", home, "shop:app",
        ]  # fmt: skip
        with subprocess.Popen(command, env=environment(url, home), stderr=subprocess.DEVNULL) as server:
            try:
                _ask(port, requests)
            finally:
                server.send_signal(signal.SIGQUIT)
                server.wait(30)
        return requests - counted(url, requests, 30)["distinct"]


def _ask(port: int, requests: int) -> None:
    done, deadline = 0, time.monotonic() + 60
    while done < requests and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                answer.read()
            done += 1
        except OSError:
            time.sleep(0.05)  # not there yet
