"""The shipper as a process: started by an application, outlives it, leaves when the folder is empty."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from spanledger.journal.shipper import Shipper
from spanledger.journal.transport import Transport
from spanledger.settings import Settings, load

_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from spanledger.journal.process import main; main(sys.argv[2])"
)
_PASSED = ("endpoint", "key", "ship_interval_s", "journal_max_age_s", "request_timeout_s")


def possible() -> bool:
    """Whether this interpreter can start another one: not frozen, not embedded in a server's binary."""
    name = os.path.basename(sys.executable or "")
    return (
        name.startswith(("python", "pypy"))
        and not getattr(sys, "frozen", False)
        and hasattr(os, "posix_spawn")
    )


def start(directory: Path, settings: Settings) -> int:
    """Start a shipper for the folder and return its pid. Settings travel in its environment, not in argv.

    Raises:
        OSError: no process can be started.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SPANLEDGER_", "PYTHON"))}
    environ |= {f"SPANLEDGER_{name.upper()}": str(getattr(settings, name)) for name in _PASSED}
    null = os.open(os.devnull, os.O_RDWR)
    try:
        return os.posix_spawn(  # not subprocess: importing it costs more than starting the process
            sys.executable,
            # -I -S: nothing but the standard library is needed, and no site hook of the application runs.
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, str(directory)],
            environ,
            # Its own session: Ctrl-C and the death of a terminal are the application's. No inherited
            # output either: a parent that reads our pipes to their end would wait for the shipper.
            file_actions=[(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1, 2)],
            setsid=True,
        )
    finally:
        os.close(null)


def reap(pid: int) -> None:
    """Collect a shipper that has left, if it has."""
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def main(directory: str) -> None:
    """The process itself."""
    with contextlib.suppress(OSError):
        os.chdir("/")
        os.nice(5)
    settings = load()
    transport = Transport(settings.traces_url, settings.key, settings.request_timeout_s)
    shipper = Shipper(
        Path(directory),
        transport.post,
        interval_s=settings.ship_interval_s,
        max_age_s=settings.journal_max_age_s,
    )
    if shipper.acquire():
        try:
            shipper.run()
        finally:
            shipper.release()
