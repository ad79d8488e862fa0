"""Periodic work: a function and its interval in; a Celery task that beat sends, one worker at a time runs, out.

A rare task (an interval of a minute or more) is due by the workers' journal and not by how long a process has
lived: a beat that starts anew, or a second one, makes it run neither twice nor never.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from clickhouse_connect.driver.exceptions import Error as StoreError
from redis.exceptions import RedisError

from spanledger_collector.store.journal import last_run

from . import metrics
from .app import BATCH, CONTROL, app
from .clock import SECOND, seconds
from .current import process
from .guard import alone

Did = Mapping[str, int]
"""What a run did, in numbers: goes into the journal."""
Work = Callable[[], Did | None]

RARE_S = 60.0
SHORT_S = 120.0
_LOOK_S = 30.0  # how often beat asks whether a rare task is due
_AFTER_HARD_LIMIT_S = 30.0

log = logging.getLogger("spanledger.worker")


def tick(
    name: str, every_s: float, *, longest_s: float = 60, at_s: float = 0, queue: str = ""
) -> Callable[[Work], Work]:
    """Run the function every ``every_s`` seconds, for at most ``longest_s``, by one worker at a time.

    What may take longer than two minutes goes to the lane of long tasks, unless a ``queue`` is named: the loop acts
    within seconds and may not wait for it.

    A rare task runs once in each period of ``every_s`` counted from ``at_s`` seconds after midnight UTC
    (1970-01-01), as soon as a worker is there; a run that failed is tried again. Errors of the store and the
    broker are counted and journalled, and the next run is the retry.
    """

    def register(work: Work) -> Work:
        def run() -> None:
            run_tick(name, work, every_s=every_s, at_s=at_s, lock_s=longest_s + 2 * _AFTER_HARD_LIMIT_S)

        run.__doc__ = work.__doc__
        app.task(
            name=f"spanledger.{name}",
            soft_time_limit=int(longest_s),
            time_limit=int(longest_s + _AFTER_HARD_LIMIT_S),
        )(run)
        pause_s = min(every_s, _LOOK_S) if every_s >= RARE_S else every_s
        app.conf.beat_schedule[name] = {
            "task": f"spanledger.{name}",
            "schedule": pause_s,
            "options": {
                "queue": queue or (BATCH if longest_s > SHORT_S else CONTROL),
                "expires": max(pause_s * 2, longest_s if longest_s > SHORT_S else 0),
            },
        }
        return work

    return register


def run_tick(name: str, work: Work, *, every_s: float, at_s: float, lock_s: float) -> None:
    """One turn: nothing where another worker is at it or it is not due yet. Never raises but for a time limit."""
    try:
        with alone(process.redis, name, lock_s) as granted:
            if not granted:
                metrics.TASKS.labels(name, "not_alone").inc()
            elif every_s < RARE_S or _is_due(name, every_s, at_s):
                _run(name, work, rare=every_s >= RARE_S)
    except (RedisError, StoreError) as away:
        metrics.TASKS.labels(name, "failed").inc()
        log.warning("%s could not start: %s", name, str(away)[:300])


def period(moment: int, every_s: float, at_s: float) -> int:
    """The number of the period that the moment (ns) lies in."""
    return (moment - seconds(at_s)) // seconds(every_s)


def _is_due(name: str, every_s: float, at_s: float) -> bool:
    key, now = f"spanledger:ran:{name}", process.clock()
    known = process.redis.get(key)
    last = int(known) if known else last_run(process.store, name)
    due = last is None or period(last, every_s, at_s) < period(now, every_s, at_s)
    if not due:
        metrics.TASKS.labels(name, "not_due").inc()
        if not known:
            process.redis.set(key, last or 0, ex=int(every_s))
    return due


def _run(name: str, work: Work, *, rare: bool) -> None:
    began, clock = process.clock(), time.monotonic_ns()
    did: Did = {}
    error = ""
    try:
        did = work() or {}
    except (RedisError, StoreError) as away:
        error = f"{type(away).__name__}: {away}"
        log.warning("%s failed, trying again: %s", name, error[:300])
    except Exception as fault:
        error = f"{type(fault).__name__}: {fault}"
        log.exception("%s failed", name)
    took = time.monotonic_ns() - clock
    process.journal.note(name, began, took, did, error, rare=rare)
    if rare and not error:
        process.redis.set(f"spanledger:ran:{name}", began, ex=max(1, began // SECOND))
