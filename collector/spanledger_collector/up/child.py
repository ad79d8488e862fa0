"""One child process: a role in, a running process with a log out, that dies with its parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from . import watchdog
from .roles import Role

LOG_LIMIT = 10 * 1024 * 1024  # bytes, after which a log is put aside at the next start
TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1
_EXIT_ORPHAN = 70


class Watchdog:
    """The process that ends the roles' process groups when this one is gone, however it went."""

    def __init__(self) -> None:
        """Start it; it costs some 8 MB."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """From now on end this group too."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Nothing is left to watch."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


class Child:
    """A role's process: started, watched and stopped by the supervisor."""

    def __init__(self, role: Role, env: Mapping[str, str], log: Path, guard: Watchdog) -> None:
        self.role = role
        self.log = log
        self._guard = guard
        self._env = {**env, **role.env}
        self._process: asyncio.subprocess.Process | None = None
        self.started = 0.0  # monotonic seconds

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and alive else None

    async def start(self) -> None:
        """Start the process; its output is appended to its log."""
        _rotate(self.log)
        file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        output = None if self.role.shown else file
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.role.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=file,
                env=self._env,
                # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which
                # stops the roles in their order.
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        finally:
            os.close(file)
        self._guard.watch(self._process.pid)
        self.started = time.monotonic()

    async def wait(self) -> int:
        """The exit code, once it has ended; negative for a signal. What it left behind is ended too."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.role.name} was not started")
        code = await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._guard.forget(process.pid)
        return code

    async def stop(self, grace_s: float) -> bool:
        """Ask it to end, insist after ``grace_s``; False when it had to be killed."""
        if self.pid is None:
            return True
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), grace_s)
        except TimeoutError:
            self._signal(signal.SIGKILL, group=True)
            await self.wait()
            return False
        return True

    def tail(self) -> str:
        """The last lines of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        return ""

    def _signal(self, number: signal.Signals, group: bool = False) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)


def exit_words(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def _rotate(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def _die_with(parent: int) -> Callable[[], None]:
    """What the child does before exec: have the kernel kill it when its parent is gone."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before that
            os._exit(_EXIT_ORPHAN)

    return arrange
