"""Periodic work: one worker at a time, due by the journal and not by a process's life, and never in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from spanledger_collector.store.journal import last_run, task_summary
from spanledger_workers import current, ticks
from spanledger_workers.guard import alone
from spanledger_workers.memory import connect_memory
from spanledger_workers.process import Process
from spanledger_workers.settings import WorkerSettings
from spanledger_workers.ticks import period, run_tick
from tests.stores import Store

DAY = 86_400 * 10**9
HOUR = 3600 * 10**9


@pytest.fixture
def process(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """This process as a worker on the test's store and broker."""
    made = Process(WorkerSettings(clickhouse_url=store.url, redis_url=redis_url))
    for module in (current, ticks):
        monkeypatch.setattr(module, "process", made)
    yield made
    made.store.close()


def test_a_period_begins_at_its_hour_of_the_day() -> None:
    assert period(5 * DAY + 2 * HOUR - 1, 86_400, 7200) == 4
    assert period(5 * DAY + 2 * HOUR, 86_400, 7200) == 5


@pytest.mark.clickhouse
@pytest.mark.broker
def test_a_daily_task_runs_once_a_day_whoever_starts_anew_and_a_failed_run_is_tried_again(
    process: Process,
) -> None:
    now = time.time_ns() // DAY * DAY + 3 * HOUR
    process.clock = lambda: now
    ran: list[int] = []

    def work() -> dict[str, int]:
        ran.append(now)
        if len(ran) == 1:
            raise OperationalError("the store went away")
        return {"cases": 3}

    def beat() -> None:
        run_tick("nightly", work, every_s=86_400, at_s=7200, lock_s=60)

    beat()
    assert (ran, last_run(process.store, "nightly")) == ([now], None)
    beat()
    beat()
    assert len(ran) == 2
    connect_memory(process.settings.redis_url).delete("spanledger:ran:nightly")  # Redis forgets
    beat()
    assert len(ran) == 2
    now += DAY
    beat()
    assert len(ran) == 3
    (row,) = task_summary(process.store, since=0)
    assert (row["task"], row["times"], row["failures"], row["work"]) == ("nightly", 3, 1, {"cases": 6})
    assert "the store went away" in row["last_error"]


@pytest.mark.broker
def test_of_two_beats_one_runs_the_work(redis_url: str) -> None:
    redis = connect_memory(redis_url)
    inside, let_go, seen = threading.Event(), threading.Event(), list[bool]()

    def first() -> None:
        with alone(redis, "work", 60) as granted:
            seen.append(granted)
            inside.set()
            let_go.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(30)
    with alone(redis, "work", 60) as granted:
        seen.append(granted)
    let_go.set()
    thread.join()
    with alone(redis, "work", 60) as granted:
        seen.append(granted)
    assert seen == [True, False, True]


@pytest.mark.broker
def test_a_lock_outlives_its_own_limit_only_while_its_holder_works(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_workers.guard.LOCK_S", 0.6)
    redis = connect_memory(redis_url)
    with alone(redis, "work", 60) as granted:
        assert granted
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert redis.get("spanledger:lock:work"), "it expired though its holder works"
            time.sleep(0.1)
    assert redis.get("spanledger:lock:work") is None
