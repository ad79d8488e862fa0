"""The processes of one worker, forked from one parent that does nothing but watch them: lanes, beat and ``/metrics``.

A lane is a Celery worker of its own. Judges take minutes, so they never stand before the loop and the cheap scorers.
A child that dies is started anew; Celery alone would go on without its beat for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from .app import BATCH, CONTROL, FAST, JUDGED, PREFETCH, app

_PR_SET_PDEATHSIG = 1
RESTART_S = 1.0
MOST_RESTARTS = 20
"""Deaths in a row, each within a minute of the one before, after which the worker gives up."""
_IN_A_ROW_S = 60.0

Work = Callable[[], int]
"""What a child does; returns its exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One Celery worker and its queues; ``in_turn``: they are taken from in turn, else in their order of preference."""

    name: str
    queues: tuple[str, ...]
    in_turn: bool = False

    def arguments(self, loglevel: str, concurrency: int | None) -> list[str]:
        """What Celery is started with."""
        made = ["worker", "--loglevel", loglevel, "--without-gossip", "--without-mingle"]
        made += ["--hostname", f"{self.name}-{os.getpid()}@{socket.gethostname()}"]
        made += ["--queues", ",".join(self.queues)]
        made += ["--prefetch-multiplier", str(min(PREFETCH[queue] for queue in self.queues))]
        return made + (["--concurrency", str(concurrency)] if concurrency else [])


def lanes(queues: Sequence[str]) -> list[Lane]:
    """One lane for short tasks and one for long ones, of those queues that are asked for."""
    short = tuple(queue for queue in (CONTROL, FAST) if queue in queues)
    long = tuple(queue for queue in (JUDGED, BATCH) if queue in queues)
    # Ticks before scorers; but neither judges nor long runs may starve the other.
    made = [Lane(name="short", queues=short), Lane(name="long", queues=long, in_turn=True)]
    return [lane for lane in made if lane.queues]


def beat_arguments(loglevel: str) -> list[str]:
    """What Celery's beat is started with. What is due is known to the workers' journal: it has nothing to remember."""
    return ["beat", "--loglevel", loglevel, "--scheduler", "celery.beat:Scheduler", "--pidfile", ""]


def run_lane(lane: Lane, loglevel: str, concurrency: int | None) -> int:
    """Be that lane until it ends."""
    order = "round_robin" if lane.in_turn else "priority"
    options = {**app.conf.broker_transport_options, "queue_order_strategy": order}
    app.conf.update(broker_transport_options=options)
    return celery(lane.arguments(loglevel, concurrency))


def celery(arguments: Sequence[str]) -> int:
    """Run a command of Celery until it ends."""
    try:
        app.start(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return 0
    return 0


def supervise(wanted: Mapping[str, Work]) -> int:
    """Keep a child for each piece of work until SIGTERM or SIGINT, then let them end; returns the exit code."""
    children: dict[int, str] = {_fork(work): name for name, work in wanted.items()}
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)
    deaths, last = 0, 0.0
    while children:
        child, status = os.wait()
        name = children.pop(child, "")
        if stopping or not name:
            continue
        deaths = deaths + 1 if time.monotonic() - last < _IN_A_ROW_S else 1
        last = time.monotonic()
        code = os.waitstatus_to_exitcode(status)
        print(f"spanledger worker: {name} ended ({code}), starting it anew", file=sys.stderr, flush=True)
        if deaths > MOST_RESTARTS:
            print("spanledger worker: giving up", file=sys.stderr, flush=True)
            stop(signal.SIGTERM, None)
            return 1
        time.sleep(RESTART_S)
        if not stopping:
            children[_fork(wanted[name])] = name
    return 0


def _fork(work: Work) -> int:
    parent, die_with = os.getpid(), _die_with_parent()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        die_with()
        if os.getppid() == parent:
            code = work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> Callable[[], object]:
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
