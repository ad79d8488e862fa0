"""The shipper as a process: started by an application, outlives it, leaves when the folder is empty.

Its start is part of what tracing costs a short-lived program: it imports little more than C modules.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spanledger.settings import Settings

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from spanledger.journal.process import main; main(sys.argv[2])"
)
_PASSED = ("traces_url", "key", "ship_interval_s", "journal_max_age_s", "request_timeout_s")


def possible() -> bool:
    """Whether this interpreter can start another one: not frozen, not embedded in a server's binary."""
    name = os.path.basename(sys.executable or "")
    return (
        name.startswith(("python", "pypy"))
        and not getattr(sys, "frozen", False)
        and hasattr(os, "posix_spawn")
    )


def start(directory: str | os.PathLike[str], settings: Settings) -> int:
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
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, os.fspath(directory)],
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
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass


def main(directory: str) -> None:
    """The process itself."""
    from spanledger.journal.shipper import Shipper
    from spanledger.journal.transport import Transport

    try:
        os.chdir("/")
        os.nice(5)
    except OSError:
        pass
    url, key, interval_s, max_age_s, timeout_s = (
        os.environ[f"SPANLEDGER_{name.upper()}"] for name in _PASSED
    )
    transport = Transport(url, key, float(timeout_s))
    shipper = Shipper(directory, transport.post, interval_s=float(interval_s), max_age_s=float(max_age_s))
    while shipper.acquire():
        try:
            shipper.run()
        finally:
            shipper.release()
        if not shipper.has_new():  # asked when a new shipper could start: one of us sees each segment
            return
