"""Rows with their billing decided and a project's price table in; rows with cost out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.exceptions import Error as EngineError

from spanledger.prices import Cost, PriceTable
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.registry import Registry

from .rows import Span

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
_LISTED = PriceTable()
_ZERO = Decimal("0E-9")


class PriceBook:
    """Every project's price table; follows the registry within a second or so. One thread uses it."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._revision, self._checked = -1, float("-inf")
        self._tables: dict[str, PriceTable] = {}

    def refresh(self) -> None:
        """Read the price documents if any changed; keep what is known while the engine is away."""
        if self._clock() - self._checked < REFRESH_S:
            return
        try:
            revision = self._registry.revision()
            if revision != self._revision:
                self._tables = self._read()
                self._revision = revision
        except EngineError as away:
            logger.warning("prices not refreshed: %s", away)
        self._checked = self._clock()

    def table(self, project: str) -> PriceTable:
        """The project's own prices, those of all projects, and the public list, in that order."""
        return self._tables.get(project) or self._tables.get(SHARED) or _LISTED

    def _read(self) -> dict[str, PriceTable]:
        documents: dict[str, list[dict[str, Any]]] = {}
        for row in self._registry.list_all(["price"]):
            document = {**row.document, "name": row.name, "version": row.version}
            try:
                PriceTable([document])
            except ValueError as wrong:
                logger.error("price document %s/%s is ignored: %s", row.project, row.name, wrong)
                continue
            documents.setdefault(row.project, []).append(document)
        shared = documents.get(SHARED, [])
        return {
            project: PriceTable(mine if project == SHARED else [*mine, *shared])
            for project, mine in documents.items()
        }


def warm_up() -> None:
    """Load the price list, which takes a moment, before the first span waits for it."""
    _LISTED.rates("openai", "gpt-4o", time.time_ns())


def price(span: Span, table: PriceTable) -> bool:
    """Set the cost columns of a billable row; False when it is a call whose usage is known and price is not.

    A row that is not billable carries no cost. A cache hit costs 0 and says what it saved.
    """
    row = span.row
    if not row.get("billable"):
        return True
    cost = (
        None
        if span.usage is None
        else table.cost(
            span.usage,
            row.get("provider", ""),
            row.get("response_model", ""),
            row["start_time"],
            request_model=row.get("request_model", ""),
            service_tier=row.get("service_tier", ""),
            region=row.get("region", ""),
        )
    )
    if row.get("cache") in ("exact", "semantic"):
        row["cost_total"], row["price_source"] = _ZERO, "cache"
        if cost is not None:
            row.setdefault("cost_saved", cost.total)
        return True
    if cost is None:
        return span.usage is None
    _set_cost(row, cost)
    return True


def _set_cost(row: dict[str, object], cost: Cost) -> None:
    for column, amount in (
        ("cost_input", cost.input),
        ("cost_cache_read", cost.cache_read),
        ("cost_cache_write", cost.cache_write),
        ("cost_output", cost.output),
        ("cost_reasoning", cost.reasoning),
        ("cost_other", cost.other),
        ("cost_total", cost.total),
    ):
        if amount is not None:
            row[column] = amount
    row["price_source"], row["price_version"] = cost.source, cost.version
