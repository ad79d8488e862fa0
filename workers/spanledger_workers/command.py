"""`spanledger worker`: the Celery workers, with beat inside unless told otherwise."""

from __future__ import annotations

import argparse

from . import exposition


def command(argv: list[str]) -> int:
    """Run until SIGTERM or Ctrl-C; running tasks end first. Settings are read before anything starts."""
    parser = argparse.ArgumentParser(prog="spanledger worker", description=__doc__)
    parser.add_argument("--no-beat", action="store_true", help="run tasks only; beat runs elsewhere")
    parser.add_argument(
        "--concurrency", type=int, help="processes a lane (SPANLEDGER_WORKER_CONCURRENCY); lanes: short, long"
    )
    parser.add_argument("--queues", help="comma-separated; default: all")
    parser.add_argument("--loglevel", default="WARNING")
    given = parser.parse_args(argv)
    if given.concurrency is not None and given.concurrency < 1:
        parser.error("--concurrency is at least 1")

    folder = exposition.prepare()
    try:
        return _run(parser, given, folder)
    finally:
        exposition.clear(folder)


def _run(parser: argparse.ArgumentParser, given: argparse.Namespace, folder: str) -> int:
    from .current import process  # reads the settings; a bad one ends the process here

    # isort: split
    from .app import QUEUES, app
    from .lanes import Work, beat_arguments, celery, lanes, run_lane, supervise

    wanted = [name.strip() for name in (given.queues or ",".join(QUEUES)).split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(QUEUES))
    if unknown or not wanted:
        parser.error(f"there is no queue {', '.join(unknown) or '?'}; allowed: {', '.join(QUEUES)}")
    app.loader.import_default_modules()  # once, before anything is forked
    settings = process.settings
    work: dict[str, Work] = {
        lane.name: lambda lane=lane: run_lane(lane, given.loglevel, given.concurrency)
        for lane in lanes(wanted)
    }
    if not given.no_beat:
        work["beat"] = lambda: celery(beat_arguments(given.loglevel))
    if settings.worker_port:
        work["metrics"] = lambda: exposition.serve(
            folder, settings.metrics_host, settings.worker_port, settings.redis_url
        )
    return supervise(work)
