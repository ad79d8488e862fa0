"""The pages, one module each, in the order of the menu."""

from __future__ import annotations

from . import (
    budgets,
    cache,
    calls,
    datasets,
    events,
    experiments,
    gpu,
    judges,
    overview,
    people,
    playground,
    rag,
    reconciliation,
    registry,
    routes,
    rules,
    scores,
    spend,
    statements,
    trace,
)
from .page import Page

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    calls.PAGE,
    trace.PAGE,
    people.SESSIONS,
    people.USERS,
    cache.PAGE,
    routes.PAGE,
    scores.PAGE,
    experiments.PAGE,
    playground.PAGE,
    datasets.PAGE,
    judges.PAGE,
    rag.PAGE,
    spend.PAGE,
    budgets.PAGE,
    gpu.PAGE,
    reconciliation.PAGE,
    statements.PAGE,
    events.PAGE,
    rules.PAGE,
    registry.PAGE,
)
