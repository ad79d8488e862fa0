"""`python -m spanledger_collector.up.demo`: documents, then a story of traffic, until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import spanledger

from .application import Application
from .backstage import Collector, StandIn
from .cases import CaseSet, data_folder, load_cases
from .documents import allowance, documents, team_keys
from .narrator import Narrator
from .story import ACTS, act_at, ask

THREADS = 6
SLACK = 12  # questions that may wait for a thread; further ones are left out
TICK_S = 0.05
DAY_NS = 24 * 3600 * 10**9


def main() -> int:
    """Show the story once, then go on calmly; 0 when told to stop, 2 for a bad setting."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    try:
        told = load_cases(data_folder())
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    key = os.environ["SPANLEDGER_KEY"]
    collector = Collector(os.environ["SPANLEDGER_ENDPOINT"], key)
    primary = StandIn(os.environ["SPANLEDGER_DEMO_PRIMARY_URL"])
    backup = StandIn(os.environ["SPANLEDGER_DEMO_BACKUP_URL"])
    keys = team_keys(key)
    primary.learn(told.cases, backup=False)
    backup.learn(told.cases, backup=True)
    limit = collector.spent_today() + allowance(told.cases)
    collector.apply(documents(primary.url, backup.url, keys, limit), "the demo")
    spanledger.init(service="demo")
    application = Application(os.environ["SPANLEDGER_GATEWAY_URL"], keys)
    narrator = Narrator(collector, os.environ.get("SPANLEDGER_DASHBOARD_URL", ""))
    narrator.open(told.source)
    _play(stop, told, application, primary, narrator)
    application.close()
    spanledger.shutdown()
    return 0


def _play(
    stop: threading.Event, told: CaseSet, application: Application, primary: StandIn, narrator: Narrator
) -> None:
    began, current, number, due = time.monotonic(), -1, 0, 0.0
    pending = threading.BoundedSemaphore(THREADS + SLACK)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="user") as users:
        while not stop.wait(TICK_S):
            elapsed = time.monotonic() - began
            if (act := act_at(elapsed)) != current:
                current = act
                narrator.say(ACTS[act].says)
                primary.tell(ACTS[act].primary)
            narrator.report()
            while due <= elapsed:
                due += 1 / ACTS[act].rate
                asked = ask(number, len(told.cases))
                number += 1
                if pending.acquire(blocking=False):
                    done = users.submit(application.answer, asked, told.cases[asked.case])
                    done.add_done_callback(lambda future: (pending.release(), narrator.note(future))[0])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (urllib.error.URLError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
