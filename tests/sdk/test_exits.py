"""However a process ends, forks or is killed, each span it recorded reaches the collector once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.sdk.apps import WAYS
from tests.sdk.sink import Sink, serving

ROOT = Path(__file__).parents[2]
COUNT = 400


def environment(url: str, home: Path) -> dict[str, str]:
    return {**os.environ, "SPANLEDGER_ENDPOINT": url, "SPANLEDGER_HOME": str(home), "SPANLEDGER_KEY": "k"}


def app(way: str, url: str, home: Path, count: int = COUNT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.apps", way, str(count)],
        cwd=ROOT,
        env=environment(url, home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"kill_9_while_recording"}))
def test_no_span_is_lost_and_none_is_counted_twice(way: str, sink: Sink, tmp_path: Path) -> None:
    with app(way, sink.url, tmp_path) as process:
        process.wait(60)
    assert sink.wait_for(COUNT) == COUNT
    assert len(sink.spans) == COUNT


@pytest.mark.parametrize("way", ["plain", "kill_9", "fork"])
def test_what_was_recorded_while_the_collector_was_away_arrives_when_it_is_back(
    way: str, free_port: int, tmp_path: Path
) -> None:
    with app(way, f"http://127.0.0.1:{free_port}", tmp_path) as process:
        process.wait(60)
    with serving(Sink(), free_port) as sink:
        assert sink.wait_for(COUNT) == COUNT
        assert len(sink.spans) == COUNT


def test_the_next_process_ships_what_a_killed_machine_left(free_port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with app("kill_9", url, tmp_path) as process:
        process.wait(60)
    # The shipper dies as well, as when a container is killed.
    deadline = time.monotonic() + 10
    while not (found := shippers(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    with serving(Sink(), free_port) as sink:
        with app("plain", url, tmp_path, 10) as process:
            process.wait(60)
        assert sink.wait_for(COUNT + 10) == COUNT + 10


def test_killing_a_busy_process_loses_nothing_it_had_recorded(sink: Sink, tmp_path: Path) -> None:
    with app("kill_9_while_recording", sink.url, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        process.kill()
        process.wait(30)
    assert sink.wait_for(COUNT) >= COUNT


def test_the_shipper_leaves_when_nothing_is_left(sink: Sink, tmp_path: Path) -> None:
    with app("plain", sink.url, tmp_path) as process:
        process.wait(60)
    deadline = time.monotonic() + 15
    while shippers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shippers(tmp_path) == []
    assert list(tmp_path.rglob("*.seg")) == []


def test_leaving_while_the_collector_hangs_takes_at_most_five_seconds(sink: Sink, tmp_path: Path) -> None:
    sink.delay_s = 30
    with app("plain", sink.url, tmp_path) as process:
        assert process.stdout is not None
        started = time.monotonic()
        process.wait(60)
    assert time.monotonic() - started < 7  # 5 and the start of the interpreter


def test_gunicorn_with_a_preloaded_application(sink: Sink, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "shop.py").write_text(
        "import spanledger\n"
        "spanledger.init()\n"
        "@spanledger.observe\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", f"127.0.0.1:{free_port}",
        "--chdir", str(tmp_path), "shop:app",
    ]  # fmt: skip
    env = environment(sink.url, tmp_path / "home")
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_open(free_port)
            for _ in range(30):
                with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=10) as answer:
                    assert answer.read() == b"ok"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, without a graceful end
            server.wait(30)
    assert sink.wait_for(30) == 30


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port}")


def shippers(home: Path) -> list[int]:
    """Pids of shippers of this home."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(str(home).encode()) for word in words) and b"-I" in words:
            found.append(int(entry.parent.name))
    return found
