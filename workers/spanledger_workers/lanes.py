"""The processes of one worker: lanes that do not wait for each other, forked from one parent that answers ``/metrics``.

A lane is a Celery worker of its own. Judges take minutes, so they never stand before the loop and the cheap scorers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from .app import BATCH, CONTROL, FAST, JUDGED, PREFETCH, app

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One Celery worker: its queues in order of preference, and whether beat runs inside."""

    name: str
    queues: tuple[str, ...]
    beat: bool = False

    def arguments(self, loglevel: str, concurrency: int | None) -> list[str]:
        """What Celery is started with."""
        made = ["worker", "--loglevel", loglevel, "--without-gossip", "--without-mingle"]
        made += ["--hostname", f"{self.name}-{os.getpid()}@{socket.gethostname()}"]
        made += ["--queues", ",".join(self.queues)]
        made += ["--prefetch-multiplier", str(min(PREFETCH[queue] for queue in self.queues))]
        made += ["--concurrency", str(concurrency)] if concurrency else []
        # What is due is known to the workers' journal, so beat has nothing to remember over a restart.
        return made + (["--beat", "--scheduler", "celery.beat:Scheduler"] if self.beat else [])


def lanes(queues: Sequence[str], *, beat: bool) -> list[Lane]:
    """One lane for short tasks and one for long ones, of those queues that are asked for; beat in the first."""
    short = tuple(queue for queue in (CONTROL, FAST) if queue in queues)
    long = tuple(queue for queue in (JUDGED, BATCH) if queue in queues)
    named = [("short", short), ("long", long)]
    made = [Lane(name=name, queues=taken) for name, taken in named if taken]
    return [Lane(name=made[0].name, queues=made[0].queues, beat=beat), *made[1:]]


def run_lanes(
    wanted: Sequence[Lane], loglevel: str, concurrency: int | None, forked: Callable[[], None]
) -> int:
    """Run until SIGTERM, SIGINT or the end of a lane; running tasks end first. Returns the exit code.

    ``forked`` is called in the parent, when threads do no harm any more.
    """
    children = {_fork(lane, loglevel, concurrency) for lane in wanted}
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)
    forked()
    code = 0
    while children:
        child, status = os.wait()
        children.discard(child)
        if not stopping:  # a lane never ends by itself: whoever watches this process starts both anew
            code = 1
            print("spanledger worker: a lane ended unexpectedly", file=sys.stderr)
            stop(signal.SIGTERM, None)
        elif os.waitstatus_to_exitcode(status) not in (0, -signal.SIGINT, -signal.SIGTERM):
            code = 1
    return code


def _fork(lane: Lane, loglevel: str, concurrency: int | None) -> int:
    parent, die_with = os.getpid(), _die_with_parent()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        die_with()
        if os.getppid() == parent:
            code = _run(lane, loglevel, concurrency)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> Callable[[], object]:
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _run(lane: Lane, loglevel: str, concurrency: int | None) -> int:
    try:
        app.worker_main(lane.arguments(loglevel, concurrency))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        print("spanledger worker: stopped", file=sys.stderr)
    return 0
