"""The Celery app: queues and how tasks are delivered. Tasks stand in ``tasks``; ``ticks`` fills beat's schedule."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from spanledger_collector.store.settings import load_settings

from .settings import WorkerSettings
from .tasks import MODULES

CONTROL = "eval.control"  # planner, loop, budgets: short and periodic
FAST = "eval.fast"  # scorers without a model
JUDGED = "eval.llm"  # scorers that ask one
BATCH = "eval.batch"  # regression runs
QUEUES = (CONTROL, FAST, JUDGED, BATCH)
"""In the order in which a worker takes from them."""

PREFETCH = {CONTROL: 1, FAST: 4, JUDGED: 1, BATCH: 1}
"""Messages that a process holds beyond the one it works on, and that one: long tasks are not hoarded."""

SOFT_LIMIT_S = 240
HARD_LIMIT_S = 300
VISIBILITY_S = 900  # longer than any task may run, or Redis delivers it twice


def configured(settings: WorkerSettings) -> Celery:
    """A Celery app on the broker of the settings."""
    app = Celery("spanledger", broker=settings.redis_url, include=list(MODULES))
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=CONTROL,
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=SOFT_LIMIT_S,
        task_time_limit=HARD_LIMIT_S,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a batch done twice is the same batch
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for as long as it takes
        broker_transport_options={"visibility_timeout": VISIBILITY_S, "queue_order_strategy": "priority"},
        beat_schedule={},  # filled by ``ticks.tick``
        timezone="UTC",
    )
    return app


app = configured(load_settings(WorkerSettings))
