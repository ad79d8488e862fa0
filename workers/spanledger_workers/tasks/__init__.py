"""The tasks, and nothing else: each is the edge where work meets Celery. A new module is named in ``MODULES``."""

from __future__ import annotations

MODULES = (
    "spanledger_workers.tasks.watching",
    "spanledger_workers.tasks.spending",
    "spanledger_workers.tasks.ledger",
    "spanledger_workers.tasks.outlook",
    "spanledger_workers.tasks.telling",
    "spanledger_workers.tasks.scoring",
    "spanledger_workers.tasks.caching",
    "spanledger_workers.tasks.covering",
    "spanledger_workers.tasks.regressing",
)
"""Loaded when a worker starts; each registers its tasks and what beat sends."""
