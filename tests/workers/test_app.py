"""How tasks are delivered: each to one queue, once, and for no longer than the broker waits."""

from __future__ import annotations

from spanledger_workers.app import (
    HARD_LIMIT_S,
    QUEUES,
    SOFT_LIMIT_S,
    VISIBILITY_S,
    configured,
    schedule,
)
from spanledger_workers.settings import WorkerSettings


def test_a_message_for_one_queue_reaches_no_other() -> None:
    queues = configured(WorkerSettings()).amqp.queues
    addresses = {(queues[name].exchange.name, queues[name].routing_key) for name in QUEUES}
    assert len(addresses) == len(QUEUES)


def test_no_task_may_run_longer_than_the_broker_waits_for_it() -> None:
    assert SOFT_LIMIT_S < HARD_LIMIT_S < VISIBILITY_S


def test_ticks_that_nobody_took_expire_instead_of_piling_up() -> None:
    for entry in schedule().values():
        options = entry["options"]
        assert isinstance(options, dict)
        assert options["expires"] > 0
