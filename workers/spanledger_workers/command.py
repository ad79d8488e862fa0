"""`spanledger worker`: the Celery worker, with beat inside unless told otherwise."""

from __future__ import annotations

import argparse
import sys


def command(argv: list[str]) -> int:
    """Run until SIGTERM or Ctrl-C; running tasks end first. Settings are read before anything starts."""
    parser = argparse.ArgumentParser(prog="spanledger worker", description=__doc__)
    parser.add_argument("--no-beat", action="store_true", help="run tasks only; beat runs elsewhere")
    parser.add_argument("--concurrency", type=int, help="processes (SPANLEDGER_WORKER_CONCURRENCY)")
    parser.add_argument("--queues", help="comma-separated; default: all")
    parser.add_argument("--loglevel", default="WARNING")
    given = parser.parse_args(argv)
    if given.concurrency is not None and given.concurrency < 1:
        parser.error("--concurrency is at least 1")

    from .app import QUEUES, app  # reads the settings; a bad one ends the process here

    unknown = sorted(set((given.queues or "").split(",")) - set(QUEUES) - {""})
    if unknown:
        parser.error(f"there is no queue {', '.join(unknown)}; allowed: {', '.join(QUEUES)}")
    arguments = ["worker", "--loglevel", given.loglevel, "--without-gossip", "--without-mingle"]
    arguments += ["--concurrency", str(given.concurrency)] if given.concurrency else []
    arguments += ["--queues", given.queues] if given.queues else []
    # Every entry of the schedule is an interval, so beat has nothing to remember over a restart.
    arguments += [] if given.no_beat else ["--beat", "--scheduler", "celery.beat:Scheduler"]
    try:
        app.worker_main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        print("spanledger worker: stopped", file=sys.stderr)
    return 0
