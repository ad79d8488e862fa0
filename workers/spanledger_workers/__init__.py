"""The Celery app: when and how evaluators, budgets and the fallback switch run."""
