"""How tasks are delivered: each to one queue, once, and for no longer than the broker waits."""

from __future__ import annotations

from spanledger_workers.app import (
    BATCH,
    CONTROL,
    FAST,
    HARD_LIMIT_S,
    JUDGED,
    PREFETCH,
    QUEUES,
    SOFT_LIMIT_S,
    VISIBILITY_S,
    app,
    configured,
)
from spanledger_workers.lanes import lanes
from spanledger_workers.settings import WorkerSettings

app.loader.import_default_modules()


def test_a_message_for_one_queue_reaches_no_other() -> None:
    queues = configured(WorkerSettings()).amqp.queues
    addresses = {(queues[name].exchange.name, queues[name].routing_key) for name in QUEUES}
    assert len(addresses) == len(QUEUES)


def test_no_task_may_run_longer_than_the_broker_waits_for_it() -> None:
    own = [task for name, task in app.tasks.items() if name.startswith("spanledger.")]
    assert len(own) > 5
    for task in own:
        soft, hard = task.soft_time_limit or SOFT_LIMIT_S, task.time_limit or HARD_LIMIT_S
        assert soft < hard < VISIBILITY_S, task.name
        assert task.acks_late, task.name
        assert task.reject_on_worker_lost, task.name


def test_ticks_that_nobody_took_expire_instead_of_piling_up() -> None:
    assert {"plan", "watch", "budgets", "alerts", "outbox", "sweep"} <= set(app.conf.beat_schedule)
    for entry in app.conf.beat_schedule.values():
        assert 0 < entry["options"]["expires"] <= max(2 * entry["schedule"], SOFT_LIMIT_S)


def test_what_takes_minutes_never_stands_before_the_loop() -> None:
    for name, entry in app.conf.beat_schedule.items():
        limit = app.tasks[entry["task"]].soft_time_limit or SOFT_LIMIT_S
        assert limit <= 120 or entry["options"]["queue"] not in (CONTROL, FAST), name


def test_judges_and_long_runs_have_a_lane_of_their_own() -> None:
    short, long = lanes(QUEUES)
    assert (short.queues, long.queues) == ((CONTROL, FAST), (JUDGED, BATCH))
    assert (short.in_turn, long.in_turn) == (False, True)
    (only,) = lanes([JUDGED])
    assert only.queues == (JUDGED,)


def test_prefetch_is_by_queue_and_a_lane_hoards_no_more_than_its_slowest_queue_allows() -> None:
    assert PREFETCH[FAST] > PREFETCH[JUDGED]
    for queues, most in (([FAST], PREFETCH[FAST]), (QUEUES, 1)):
        arguments = lanes(queues)[0].arguments("WARNING", 1)
        assert arguments[arguments.index("--prefetch-multiplier") + 1] == str(most)


def test_the_tasks_limits_are_known_to_the_broker_in_time() -> None:
    assert app.conf.broker_transport_options["visibility_timeout"] == VISIBILITY_S
    assert app.conf.broker_connection_max_retries is None
