"""What a worker counts about itself. All processes of a worker count into the files of one folder.

Import this only after ``PROMETHEUS_MULTIPROC_DIR`` is set (``command`` does that): the library looks at its import.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TASKS = Counter(
    "spanledger_worker_tasks_total",
    "Runs of tasks. outcome: ok, failed, retried, not_alone (another worker is at it), not_due.",
    ["task", "outcome"],
)
SECONDS = Histogram(
    "spanledger_worker_task_seconds",
    "How long tasks ran.",
    ["task"],
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 300),
)
DEAD_LETTERS = Counter("spanledger_worker_dead_letters_total", "Jobs set aside for good.", ["reason"])
SCORES = Counter("spanledger_worker_scores_total", "Scores written.", ["name", "status"])
JUDGED = Counter(
    "spanledger_worker_judged_calls_total", "Calls scored by a rule with a judge.", ["evaluator"]
)
JUDGING_USD = Counter("spanledger_worker_judging_usd_total", "Known cost of judging in USD.", ["evaluator"])
SKIPPED = Counter(
    "spanledger_worker_jobs_skipped_total", "Jobs that ended unscored.", ["evaluator", "reason"]
)
PLANNED = Counter("spanledger_worker_jobs_planned_total", "Jobs planned.", ["evaluator"])
DECISIONS = Counter(
    "spanledger_worker_loop_decisions_total",
    "Changes of routes and prompts decided.",
    ["route", "to", "dry_run"],
)
DELIVERIES = Counter(
    "spanledger_worker_alert_deliveries_total", "Attempts to send an alert. outcome: sent, later, failed.",
    ["channel", "outcome"],
)  # fmt: skip
