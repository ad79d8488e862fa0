"""The Celery app: queues, the beat schedule and how tasks are delivered. Tasks stand in ``tasks``."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from spanledger_collector.store.settings import load_settings

from .settings import WorkerSettings

CONTROL = "eval.control"  # planner, loop, budgets: short and periodic
FAST = "eval.fast"  # scorers without a model
JUDGED = "eval.llm"  # scorers that ask one
QUEUES = (CONTROL, FAST, JUDGED)

SOFT_LIMIT_S = 240
HARD_LIMIT_S = 300
VISIBILITY_S = 900  # longer than any task may run, or Redis delivers it twice


def configured(settings: WorkerSettings) -> Celery:
    """A Celery app on the broker of the settings."""
    app = Celery("spanledger", broker=settings.redis_url, include=["spanledger_workers.tasks"])
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
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": VISIBILITY_S},
        beat_schedule=schedule(),
        timezone="UTC",
    )
    return app


def schedule() -> dict[str, dict[str, object]]:
    """What beat sends. A tick that was not started before the next one is dropped."""
    ticks = {"plan": 2.0, "watch": 3.0, "budgets": 3.0, "alerts": 5.0, "meter": 10.0, "sweep": 30.0}
    return {
        name: {
            "task": f"spanledger.{name}",
            "schedule": every_s,
            "options": {"queue": CONTROL, "expires": every_s * 2},
        }
        for name, every_s in ticks.items()
    }


app = configured(load_settings(WorkerSettings))
